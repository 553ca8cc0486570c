"""The resolver: names to records, by /etc/hosts, by what was answered before, and by DNS servers.

    a name          is asked for at most once at a time, however many want it, and not again while the answer holds
    a server        that is silent, fails or makes no sense gives way to the next; the one that answers stays first
    "no"            is an answer: the next name of the search list is asked for
    a failure       ends the search, and holds for a second, so that those who wait do not all ask again
    places          are limited, apart for names that are known, new and failing: a flood of names that nobody answers
                    for neither keeps good ones from being asked for again, nor new ones once it is over

That a failure ends the search differs from the C library: `users` must not become `users.example.org` while the server
of `users.svc.cluster.local` cannot be reached. A is asked for first, and AAAA only if there are none: IPv4 is used
alone where it exists, so the other answer would be thrown away. A failure to find out about A is a failure of the
whole, or a hiccup would change the family of a host; servers known to fail for one type fail for AAAA (RFC 4074).
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Awaitable, Callable
from typing import Final, Literal, Protocol, TypeAlias, cast

import trio

from namer.dns.answers import (
    Answer,
    Failed,
    Found,
    Kind,
    Lifetimes,
    Nothing,
    Record,
    Reply,
    ServerFailed,
    Srv,
    nothing_of,
)
from namer.dns.hostsfile import parse_hosts
from namer.dns.settings import Overrides, Server, Settings, candidates, parse_resolv_conf
from namer.dns.systemfile import SystemFile

MAX_ANSWERS: Final = 10_000  # remembered; the oldest gives way
MAX_AT_ONCE: Final = 100  # questions of one Standing under way, each with a socket of its own
MAX_WAIT: Final = 6.0  # seconds for one question to all servers: well below the 10 s that a request waits for a name
FAILURE_TTL: Final = 1.0
FILE_TTL: Final = 5.0  # seconds that what /etc/hosts says holds

RESOLV_CONF: Final = pathlib.Path("/etc/resolv.conf")
HOSTS: Final = pathlib.Path("/etc/hosts")

Ask: TypeAlias = Callable[[Server, str, Kind], Awaitable[Reply]]
_Question: TypeAlias = tuple[str, Kind]
_Standing: TypeAlias = Literal["known", "new", "failing"]


class Resolves(Protocol):
    """Who answers for names.

    Of an answer it has already only one that came later than `newer_than` will do. What is `known` to have records
    does not wait behind what may be made up.
    """

    async def addresses(self, host: str, newer_than: float = -math.inf, *, known: bool = False) -> Answer[str]:
        """The addresses of a host, all of one family. Cancelling is safe."""
        ...

    async def services(self, name: str, newer_than: float = -math.inf, *, known: bool = False) -> Answer[Srv]:
        """The SRV records of a full name. Cancelling is safe."""
        ...


class AskByWire:
    """As `exchange.ask`, which is imported when something is asked for the first time."""

    __slots__ = ("_readers",)

    def __init__(self) -> None:
        self._readers = trio.CapacityLimiter(1)

    async def __call__(self, server: Server, name: str, kind: Kind) -> Reply:
        """What the server says. Raises ServerFailed."""
        from namer.dns import exchange

        return await exchange.ask(server, name, kind, self._readers)


class Resolver(Resolves):
    """Asks for whoever comes first, and has no task of its own."""

    def __init__(
        self,
        overrides: Overrides,
        lifetimes: Lifetimes,
        *,
        ask: Ask | None = None,
        resolv_conf: pathlib.Path = RESOLV_CONF,
        hosts: pathlib.Path = HOSTS,
    ) -> None:
        self._overrides = overrides
        self._lifetimes = lifetimes
        self._ask = ask or AskByWire()
        self._resolv_conf = SystemFile(resolv_conf, parse_resolv_conf)
        self._hosts = SystemFile(hosts, parse_hosts)
        self._answers: dict[_Question, Answer[Record]] = {}
        self._under_way: dict[_Question, trio.Event] = {}
        standings: tuple[_Standing, ...] = ("known", "new", "failing")
        self._slots = {standing: trio.CapacityLimiter(MAX_AT_ONCE) for standing in standings}
        self._first = 0

    async def addresses(self, host: str, newer_than: float = -math.inf, *, known: bool = False) -> Answer[str]:
        """The addresses of the first candidate that has any; those of a line in /etc/hosts before all."""
        written = self._hosts.look().get(host.rstrip("."))
        if written:
            now = trio.current_time()
            return Found(written, now, now + FILE_TTL)
        misses = []
        for name in candidates(host, self._settings()):
            answer = await self._addresses_of(name, newer_than, known)
            if not isinstance(answer, Nothing):
                return answer
            misses.append(answer)
        return nothing_of(misses)

    async def services(self, name: str, newer_than: float = -math.inf, *, known: bool = False) -> Answer[Srv]:
        """The SRV records of a name, which is taken as full."""
        return cast("Answer[Srv]", await self._question(f"{name.rstrip('.')}.", "SRV", newer_than, known))

    async def _addresses_of(self, name: str, newer_than: float, known: bool) -> Answer[str]:
        four = await self._question(name, "A", newer_than, known)
        if not isinstance(four, Nothing) or not four.exists:
            return cast("Answer[str]", four)
        six = await self._question(name, "AAAA", newer_than, known)
        return nothing_of([four, six]) if isinstance(six, Nothing) else cast("Answer[str]", six)

    async def _question(self, name: str, kind: Kind, newer_than: float, known: bool) -> Answer[Record]:
        question = (name, kind)
        while True:
            answer = self._answers.get(question)
            if answer is not None and trio.current_time() < answer.expires and answer.at > newer_than:
                return answer
            under_way = self._under_way.get(question)
            if under_way is None:
                break
            await under_way.wait()
        done = self._under_way[question] = trio.Event()
        try:
            answer = await self._ask_servers(name, kind, self._slots[_standing(answer, known)])
            self._remember(question, answer)
            return answer
        finally:
            del self._under_way[question]
            done.set()

    async def _ask_servers(self, name: str, kind: Kind, slots: trio.CapacityLimiter) -> Answer[Record]:
        settings = self._settings()
        problems: dict[Server, str] = {}
        with trio.move_on_after(MAX_WAIT):
            async with slots:
                for server in self._in_order(settings):
                    with trio.move_on_after(settings.timeout):
                        try:
                            reply = await self._ask(server, name, kind)
                        except ServerFailed as problem:
                            problems[server] = str(problem)
                            continue
                        self._first = settings.servers.index(server)
                        return self._lifetimes.answer(reply, trio.current_time())
                    problems[server] = f"does not answer within {settings.timeout:g} s"
        now = trio.current_time()
        reasons = [f"DNS server {server} {problem}" for server, problem in problems.items()]
        return Failed("; ".join(reasons) or f"no answer within {MAX_WAIT:g} s", now, now + FAILURE_TTL)

    def _in_order(self, settings: Settings) -> list[Server]:
        if settings.rotate:
            self._first += 1
        first = self._first % len(settings.servers)
        return [*settings.servers[first:], *settings.servers[:first]] * settings.attempts

    def _remember(self, question: _Question, answer: Answer[Record]) -> None:
        self._answers.pop(question, None)
        self._answers[question] = answer
        if len(self._answers) > MAX_ANSWERS:
            del self._answers[next(iter(self._answers))]

    def _settings(self) -> Settings:
        return self._overrides.over(self._resolv_conf.look())


def _standing(last: Answer[Record] | None, known: bool) -> _Standing:
    """Among whom a name waits for its turn: `known` if whoever asks has records of it."""
    if known:
        return "known"
    return "failing" if isinstance(last, Failed) else "new"
