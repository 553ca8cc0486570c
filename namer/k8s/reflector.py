"""A collection of the Kubernetes API, kept equal to what the API server has: list once, then watch.

    start, or 410 Gone       list
    listed                   watch from the version of the list, with bookmarks, for some minutes
    the watch ends           the next one goes on from the last version; nothing is listed
    nothing heard for long   the connection is taken for dead, and the watch goes on with another one
    anything else            told as a failure; again after a jittered, growing delay. What was known stays known

Source: "Kubernetes API Concepts" (resource versions, watch bookmarks, 410 Gone) and the Reflector of client-go.

The API server is believed also when it takes everything away: unlike a gossiping catalogue it has one store. The first
list takes what the API server has at hand, which is cheap for it. Each later one asks for the most recent state, which
is read from the store by a majority; so a server that was just started and lags behind takes nothing away, and an empty
list is an answer. A watch whose versions go backwards is one of a store that was restored from a backup. It would never
tell what is different there, so that is listed anew as well.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import trio

from namer.httpapi import ApiError, StatusError, brief
from namer.k8s.api import Api, Client, advised
from namer.k8s.objects import Event, Object, Page, Status, decode

WATCH_SECONDS: Final = 300
"""How long the API server is asked to keep a watch open, at most; at least three quarters of it."""
SILENCE: Final = 90.0
"""Seconds without a line after which a watch is taken for dead; an API server sends a bookmark each minute."""
STEADY: Final = 5.0
"""Seconds after which a watch that ends is no failure, even if it had nothing to tell."""
FIRST_DELAY: Final = 0.1
MAX_DELAY: Final = 5.0
MAX_OBJECTS: Final = 10_000
"""Objects of one collection; a service of a million endpoints has as many slices."""

T = TypeVar("T", bound=Object)
T_contra = TypeVar("T_contra", bound=Object, contravariant=True)


class GoneError(Exception):
    """There is no way on from the version known, it is too old or of another life of the store: list again."""


class Audience(Protocol[T_contra]):
    """Who wants the collection."""

    def known(self, objects: Mapping[str, T_contra]) -> None:
        """This is the collection now, by name; also called when it is only confirmed after a failure."""
        ...

    def failed(self, reason: str, retry_at: float) -> None:
        """It cannot be read, and is asked for again at `retry_at` (seconds, trio clock)."""
        ...


@dataclass(frozen=True, slots=True)
class Query(Generic[T]):
    """Which collection: its path, the type of its objects, a selector, and what the account needs for it."""

    path: str
    kind: type[T]
    selector: tuple[str, str]
    need: str


class Collection(Generic[T]):
    """What lists and watches have told so far. Pure."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self.objects: dict[str, T] = {}
        self.version = "0"
        """Where a watch goes on. To list: "0" is whatever the API server has at hand, "" the most recent state."""
        self.listed = False
        """Whether a watch may go on from `version`; else it is to be listed."""

    def replace(self, page: Page[T], origin: str) -> None:
        """A list was read. Raises ApiError when it is of no use."""
        if not page.metadata.resource_version:
            raise ApiError(f"{origin}: a list without a resourceVersion")
        _check_size(len(page.items or ()), origin)
        known, self.objects = self.objects, {}
        for each in page.items or ():
            before = known.get(each.metadata.name)
            self.objects[each.metadata.name] = before if before is not None and before == each else each
        self.version = page.metadata.resource_version
        self.listed = True

    def apply(self, line: bytes, origin: str) -> bool:
        """A line of a watch was read; tell whether an object changed.

        Raises GoneError when the watch cannot go on from its version, and ApiError when the line is no event.
        """
        try:
            return self._apply(decode(line, Event, origin), origin)
        except ApiError:
            self.forget()  # what the line was about is lost
            raise

    def _apply(self, event: Event, origin: str) -> bool:
        if event.type == "ERROR":
            self._refused(decode(event.object, Status, origin), origin)
        if event.type == "BOOKMARK":
            self._advance(decode(event.object, Object, origin))
            return False
        changed = decode(event.object, self._kind, origin)
        match event.type:
            case "ADDED" | "MODIFIED":
                self.objects[changed.metadata.name] = changed
                _check_size(len(self.objects), origin)
            case "DELETED":
                self.objects.pop(changed.metadata.name, None)
            case _:
                raise ApiError(f"{origin}: an event of the unknown type {event.type[:40]!r}")
        self._advance(changed)
        return True

    def _advance(self, told: Object) -> None:
        version = told.metadata.resource_version
        if version.isdecimal() and self.version.isdecimal() and int(version) < int(self.version):
            raise GoneError
        self.version = version or self.version

    def _refused(self, status: Status, origin: str) -> None:
        if status.code == 410:
            raise GoneError
        raise ApiError(f"{origin}: {status.code} {brief(status.reason)}: {brief(status.message)}")

    def forget(self) -> None:
        """List next, and the most recent state; the objects stay until then."""
        self.listed = False
        self.version = ""


class Reflector(Generic[T]):
    """Keeps a collection, and tells its audience of every change and failure."""

    def __init__(self, api: Api, query: Query[T], audience: Audience[T], rng: random.Random) -> None:
        self._api = api
        self._query = query
        self._audience = audience
        self._rng = rng
        self._collection = Collection(query.kind)
        self._steady = False
        self._origin = f"{api.url}{query.path}"

    async def run(self) -> None:
        """Follow the collection. Never returns; cancelling is safe."""
        failures = 0
        while True:
            problem = await self._follow()
            failures = 0 if self._steady else failures + 1
            delay = retry_delay(failures, self._rng)
            if problem is not None:
                self._audience.failed(problem, trio.current_time() + delay)
            await trio.sleep(delay)

    async def _follow(self) -> str | None:
        """List where that is needed and watch until that ends; return what went wrong."""
        self._steady = False
        try:
            async with self._api.session() as client:
                if not self._collection.listed:
                    await self._list(client)
                await self._watch(client)
        except GoneError:
            self._steady = False  # or one that says so after each bookmark would be asked ten times a second
            self._collection.forget()
        except ApiError as error:
            gone = isinstance(error, StatusError) and error.status == 410
            if gone or not self._collection.listed:
                self._collection.forget()
            return None if gone else advised(error, self._query.need)
        return None

    async def _list(self, client: Client) -> None:
        collection = self._collection
        asked = dict((self._query.selector, ("resourceVersion", collection.version)))
        page = (await client.get(self._query.path, asked)).json(Page[self._query.kind])  # type: ignore[name-defined]
        collection.replace(page, self._origin)
        self._audience.known(collection.objects)

    async def _watch(self, client: Client) -> None:
        seconds = round(self._rng.uniform(0.75, 1.0) * WATCH_SECONDS)
        asked = dict((self._query.selector,)) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._collection.version,
            "timeoutSeconds": str(seconds),
        }
        async with client.lines(self._query.path, asked) as lines:
            began = trio.current_time()
            self._audience.known(self._collection.objects)
            while (line := await _next(lines)) is not None:
                if self._collection.apply(line, self._origin):
                    self._audience.known(self._collection.objects)
                self._steady = True
            self._steady = self._steady or trio.current_time() - began >= STEADY


async def _next(lines: AsyncIterator[bytes]) -> bytes | None:
    """The next line that is not empty; None at the end of the stream, and when nothing came for long."""
    with trio.move_on_after(SILENCE):
        while (line := await anext(lines, None)) is not None:
            if line.strip():
                return line
    return None


def retry_delay(failures: int, rng: random.Random) -> float:
    """Seconds to wait before the API server is asked again, after so many vain attempts in a row."""
    return min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(failures, 16)) * rng.uniform(0.5, 1.0)


def _check_size(count: int, origin: str) -> None:
    if count > MAX_OBJECTS:
        raise ApiError(f"{origin}: more than {MAX_OBJECTS} objects")
