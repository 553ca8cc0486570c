"""Dtabs in Consul's key-value store, as namerd kept them: one key for a namespace, below a common prefix.

Followed by a blocking query, for the interpreter `io.l5d.consul.interpreter`. What holds when the table is bad or gone:
see namer/document.py. A key that has never been there is a Failure too, so that a misspelt namespace does not pass for
an empty table; a table is emptied by an empty value.

As a store for the command line, with Consul's own compare and set (`cas`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar
from urllib.parse import quote

import msgspec
import trio

from namer.cell import Cell
from namer.consul.api import LOCAL, Consul, consistency, in_datacenter
from namer.document import Document, Followed
from namer.dtab import Dtab
from namer.dtabcell import DtabState, dtab_document
from namer.dtabstore import StoreConflict, StoredDtab, StoreError
from namer.httpapi import ApiError, Reply
from namer.namer import PENDING
from namer.path import Path
from namer.watch import Watches

SOURCE: Final = "consul dtab"
"""Whose cells these are, in the state of the watches."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where dtabs are: the path that all keys begin with, and the datacenter whose store it is."""

    prefix: Path = Path(("namerd", "dtabs"))
    datacenter: str = LOCAL

    def key(self, namespace: str) -> str:
        """The key of a namespace: `namerd/dtabs/default`."""
        return "/".join((*self.prefix, namespace))

    def url(self, key: str) -> str:
        """The path of a key in Consul's interface."""
        return f"/v1/kv/{quote(key, safe='/', errors='surrogateescape')}"


class _Value(msgspec.Struct, frozen=True, rename="pascal"):
    """A key as Consul answers it; the value comes in base64, which bytes stand for."""

    modify_index: int
    value: bytes | None = None


def consul_dtab(consul: Consul, place: Place, namespace: str, behind: Dtab, watches: Watches) -> Cell[DtabState]:
    """The table of a namespace with `behind` after it, live while somebody subscribes."""
    return consul_document(consul, place, namespace, dtab_document(behind), SOURCE, watches)


def consul_document(
    consul: Consul, place: Place, namespace: str, document: Document[T], source: str, watches: Watches
) -> Cell[Followed[T]]:
    """What the value of a namespace means, live while somebody subscribes. `source` says whose it is."""
    unknown: Followed[T] = PENDING
    origin = f"{consul.access.name} {place.key(namespace)}"
    feed = partial(_follow, consul, place, namespace, document, origin)
    return watches.cell(document.key(source, f"{origin} in {place.datacenter}"), unknown, feed)


async def _follow(
    consul: Consul, place: Place, namespace: str, document: Document[T], origin: str, cell: Cell[Followed[T]]
) -> None:
    url = place.url(place.key(namespace))
    await consul.follow(url, in_datacenter(place.datacenter), _Listener(cell, document, origin))


class _Listener(Generic[T]):
    def __init__(self, cell: Cell[Followed[T]], document: Document[T], origin: str) -> None:
        self._cell = cell
        self._document = document
        self._origin = origin

    async def heard(self, reply: Reply, steady: bool) -> float | None:  # noqa: ARG002
        text = _stored(reply)
        now = trio.current_time()
        if text is None:
            self._document.unusable(self._cell, f"{self._origin}: there is no such key", now)
        else:
            self._document.arrived(self._cell, text.text, self._origin, now)
        return None

    def failed(self, problem: str, retry_at: float) -> None:
        self._document.unusable(self._cell, problem, trio.current_time(), retry_at)


class ConsulDtabStore:
    """The dtabs below one prefix, for the command line."""

    def __init__(self, consul: Consul, place: Place) -> None:
        self._consul = consul
        self._place = place
        self._query = {**in_datacenter(place.datacenter), **consistency(consul.access.consistency)}
        self.name = f"{consul.access.name} {place.prefix}"

    async def list(self) -> list[str]:
        """As DtabStore."""
        beginning = self._place.key("")
        reply = await self._ask("GET", beginning, {**self._query, "keys": "1", "separator": "/"})
        keys = [] if reply.status == 404 else _checked(reply, list[str])
        names = (key.removeprefix(beginning) for key in keys)
        return sorted(name for name in names if name and not name.endswith("/"))

    async def get(self, namespace: str) -> StoredDtab | None:
        """As DtabStore."""
        reply = await self._ask("GET", self._place.key(namespace), self._query)
        try:
            return _stored(reply)
        except ApiError as problem:
            raise StoreError(str(problem)) from None

    async def set(self, namespace: str, text: str, version: str | None) -> None:
        """As DtabStore."""
        query = {**in_datacenter(self._place.datacenter), "cas": version or "0"}
        reply = await self._ask("PUT", self._place.key(namespace), query, text.encode())
        if not _checked(reply, bool):
            raise StoreConflict(f"{self.name}: {namespace} has been changed by somebody else since it was read")

    async def _ask(self, method: str, key: str, query: dict[str, str], content: bytes | None = None) -> Reply:
        try:
            async with self._consul.session() as session:
                return await self._consul.call(session, method, self._place.url(key), query, content=content)
        except ApiError as problem:
            raise StoreError(str(problem)) from None


def _stored(reply: Reply) -> StoredDtab | None:
    """The dtab in an answer, None when there is no such key. Raises ApiError."""
    if reply.status == 404:
        return None
    values = reply.json(list[_Value])
    if len(values) != 1:
        raise ApiError(f"{reply.origin}: {len(values)} values for one key")
    try:
        return StoredDtab((values[0].value or b"").decode("utf-8-sig"), str(values[0].modify_index))
    except UnicodeDecodeError:
        raise ApiError(f"{reply.origin}: the value is not UTF-8") from None


def _checked(reply: Reply, kind: type[T]) -> T:
    try:
        return reply.json(kind)
    except ApiError as problem:
        raise StoreError(str(problem)) from None
