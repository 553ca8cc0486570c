"""Consul asked over HTTP, and followed by blocking queries.

A blocking query is held open by Consul until something has changed since `index`, or `wait` is over. Its rules, which
Consul's documentation gives to every client and which many clients break:

    an index of 0, none, or no number     cannot be waited for: ask plainly again, after a while
    an index that went backwards          Consul has other data than before: ask plainly at once
    an answer before the time             not asked again at once: after PAUSE seconds, and ever later without news
    an error of any kind                  ask plainly again after a growing, jittered delay of at most 5 s
    no answer                             what Consul may add to `wait` is a sixteenth; after that it is an error

Consul closes connections beyond 200 of one address (`http_max_conns_per_client`), and each blocking query holds one. So
at most MAX_FOLLOWED things have a connection of their own, whoever comes first; what comes beyond is asked plainly
every POLL seconds, MAX_PLAIN at a time, on connections that are closed again.
"""

from __future__ import annotations

import math
import pathlib
import random
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final, NoReturn, Protocol, TypeVar

import trio

from namer import httpapi
from namer.files import worker_threads
from namer.httpapi import ApiError, NoAnswerError, Reply, Session, StatusError, read_token
from namer.report import Complaints

WAIT: Final = 30  # whole seconds that a query may be held; also how long a Consul that hangs goes unnoticed
HELD_TIMEOUT: Final = WAIT + WAIT / 16 + 5.0
FIRST_TIMEOUT: Final = 2.5  # of the first query: while nothing is known, requests wait for it
PLAIN_TIMEOUT: Final = 10.0
PAUSE: Final = 0.1  # seconds from the beginning of one query to the next, as in consul-template
MAX_PAUSE: Final = 1.0  # what it grows to while answers say nothing new: of an absent service each change is an answer
POLL: Final = 10.0
MAX_DELAY: Final = 5.0  # linkerd 1.x's
MAX_FOLLOWED: Final = 100
MAX_PLAIN: Final = 32
THREADS: Final = 4  # that read tokens and large answers
SMALL: Final = 256 * 1024  # bytes of an answer that is read in some milliseconds
NO_KEY: Final = frozenset({404})

LOCAL: Final = ".local"
"""The name of the datacenter that the asked agent is in."""

Query = Mapping[str, str]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Access:
    """How a Consul is reached. `tls` makes it https, and may raise ApiError; `server_name` is whom its certificate is
    for.

    `token_file` is read for each query, so that a token may be changed; it goes before `token`.
    """

    host: str = "localhost"
    port: int = 8500
    token: str | None = field(default=None, repr=False)
    token_file: pathlib.Path | None = None
    tls: Callable[[], ssl.SSLContext] | None = None
    server_name: str | None = None
    consistency: str = "default"

    @property
    def name(self) -> str:
        """For messages: `consul localhost:8500`."""
        return f"consul {self.host}:{self.port}"

    @property
    def url(self) -> str:
        """What paths are appended to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


class Listener(Protocol):
    """Who follows something of Consul's."""

    async def heard(self, reply: Reply, steady: bool) -> float | None:
        """An answer came; `steady` unless it is the first after an error, or Consul has other data than before.

        Returns the seconds after which to ask plainly again, None to wait for a change. Raises ApiError when the
        answer cannot be used.
        """
        ...

    def failed(self, problem: str, retry_at: float) -> None:
        """No usable answer; asked again at `retry_at`."""
        ...


class Consul:
    """One Consul agent or server, and the queries that are under way to it."""

    def __init__(
        self,
        access: Access,
        rng: random.Random,
        sessions: Callable[..., AbstractAsyncContextManager[Session]] = httpapi.session,
    ) -> None:
        self.access = access
        self._rng = rng
        self._sessions = sessions
        self._free = MAX_FOLLOWED
        self.complaints = Complaints(access.name)
        self._plain = trio.CapacityLimiter(MAX_PLAIN)
        self._offload = worker_threads(THREADS)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A client with connections of its own, closed at the end of the block. Raises ApiError."""
        access = self.access
        tls = access.tls() if access.tls else None
        async with self._sessions(access.url, tls=tls, server_name=access.server_name) as session:
            yield session

    async def call(
        self,
        session: Session,
        method: str,
        path: str,
        query: Query,
        *,
        content: bytes | None = None,
        timeout: float = PLAIN_TIMEOUT,  # noqa: ASYNC109
        last: bool = False,
    ) -> Reply:
        """Ask once, with the token; the `last` question on a connection closes it. Raises as Session.call.

        404 is an answer: there is no such key.
        """
        headers = {"connection": "close"} if last else {}
        file = self.access.token_file
        token = self.access.token if file is None else await self._offload(read_token, str(file))
        if token:
            headers["x-consul-token"] = token
        try:
            reply = await session.call(
                method, path, query, headers=headers, content=content, timeout=timeout, answers=NO_KEY
            )
        except NoAnswerError as problem:
            self.complaints.unanswered(str(problem))
            raise
        except StatusError as problem:
            self.complaints.answered()
            raise StatusError(f"{problem}{_of_datacenter(query)}", problem.status) from None
        self.complaints.answered()
        return reply

    async def read(self, reply: Reply, read: Callable[[Reply], T]) -> T:
        """What `read` makes of an answer; in a thread if it is a large one. Cancelling is safe."""
        return read(reply) if len(reply.body) <= SMALL else await self._offload(read, reply)

    def retry_delay(self, failures: int) -> float:
        """Seconds to wait after `failures` in a row and one more, partly by chance."""
        return min(MAX_DELAY, 0.1 * 2.0 ** min(failures, 16)) * self._rng.uniform(0.5, 1.0)

    async def follow(self, path: str, query: Query, listener: Listener) -> NoReturn:
        """Tell `listener` what Consul answers to a GET, now and whenever it changes. Ends only by being cancelled."""
        query = {**query, **consistency(self.access.consistency)}
        progress = _Progress()
        while True:
            try:
                async with self.session() as session:
                    with self._place() as place:
                        await self._follow_on(session, path, query, listener, progress, place)
            except ApiError as problem:
                delay = self.retry_delay(progress.failures)
                progress.failures += 1
                listener.failed(str(problem), trio.current_time() + delay)
                await trio.sleep(delay)

    async def _follow_on(
        self, session: Session, path: str, query: Query, listener: Listener, progress: _Progress, place: _Place
    ) -> NoReturn:
        """Until something goes wrong: raises ApiError."""
        cursor = Cursor(0, 0.0)
        while True:
            started = trio.current_time()
            own = self._takes(place)
            if own and cursor.index:
                waiting = {**query, "index": str(cursor.index), "wait": f"{WAIT}s"}
                reply = await self.call(session, "GET", path, waiting, timeout=HELD_TIMEOUT)
            else:
                reply = await self._ask_plainly(session, path, query, progress.timeout, last=not own)
            found = read_index(reply.headers.get("x-consul-index"))
            again = await listener.heard(reply, progress.failures == 0 and not 0 < found < progress.seen)
            pause = progress.next_pause(reply.body)
            cursor = following(progress.seen, found, pause) if again is None else Cursor(0, again)
            progress.seen, progress.failures, progress.known = found, 0, True
            await trio.sleep_until(started + (cursor.pause if own or again else POLL))

    async def _ask_plainly(
        self,
        session: Session,
        path: str,
        query: Query,
        timeout: float,  # noqa: ASYNC109
        last: bool,
    ) -> Reply:
        with trio.move_on_after(timeout) as turn:
            async with self._plain:
                turn.deadline = math.inf
                return await self.call(session, "GET", path, query, timeout=timeout, last=last)
        raise ApiError(f"{self.access.name}: too many questions to it are unanswered")

    @contextmanager
    def _place(self) -> Iterator[_Place]:
        """A connection of one's own, once there is one to have, until the end of the block."""
        place = _Place()
        try:
            yield place
        finally:
            self._free += place.taken

    def _takes(self, place: _Place) -> bool:
        if not place.taken and self._free > 0:
            self._free -= 1
            place.taken = True
        return place.taken


@dataclass(slots=True)
class _Place:
    """Whether one of the connections that may be held is taken."""

    taken: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where to go on: `index` to wait for a change of, 0 to ask plainly; `pause` since the last query began."""

    index: int
    pause: float


@dataclass(slots=True)
class _Progress:
    """How far one follower is: the index that was seen last, and the failures since."""

    seen: int = 0
    failures: int = 0
    known: bool = False
    pause: float = PAUSE
    digest: int | None = None

    def next_pause(self, body: bytes) -> float:
        """Seconds until the next query, after an answer with this body."""
        digest = hash(body)
        self.pause = min(MAX_PAUSE, 2 * self.pause) if digest == self.digest else PAUSE
        self.digest = digest
        return self.pause

    @property
    def timeout(self) -> float:
        """Seconds for a plain query: the very first is not waited for long."""
        return PLAIN_TIMEOUT if self.known or self.failures else FIRST_TIMEOUT


def following(seen: int, found: int, pause: float) -> Cursor:
    """Where to go on after an answer with the index `found`, when the one before had `seen`."""
    if found == 0:
        return Cursor(0, POLL)
    return Cursor(0 if found < seen else found, pause)


def read_index(header: str | None) -> int:
    """The index of an answer, 0 where it has none that can be used."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 20:
        return 0
    return int(header)


def consistency(mode: str) -> Query:
    """The parameters of a consistency mode: default, stale or consistent."""
    return {} if mode == "default" else {mode: "1"}


def _of_datacenter(query: Query) -> str:
    """Whom Consul means by `No path to datacenter`."""
    return f" (datacenter {query['dc']})" if "dc" in query else ""


def in_datacenter(name: str) -> Query:
    """The parameters that ask for a datacenter; none for that of the agent."""
    return {} if name == LOCAL else {"dc": name}
