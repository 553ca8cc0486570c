"""Dtabs in a ConfigMap: a key of it is a namespace, its text the dtab.

Followed by a list and a watch of that one ConfigMap, for the interpreter `io.l5d.k8s.configMap`. What holds when the
table is bad, or is gone with its key or its ConfigMap: see namer/document.py.

As a store for the command line. A ConfigMap has one version for all of its keys, and a change of any of them is a
conflict for who has read it before: the API server refuses it (409).
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

import msgspec
import trio

from namer.cell import Cell
from namer.document import Document, Followed
from namer.dtab import Dtab
from namer.dtabcell import DtabState, dtab_document
from namer.dtabstore import StoreConflict, StoredDtab, StoreError
from namer.httpapi import ApiError, StatusError
from namer.k8s.api import Api, Client, advised
from namer.k8s.objects import ConfigMap
from namer.k8s.reflector import Query, Reflector
from namer.namer import PENDING
from namer.watch import Watches

SOURCE: Final = "kubernetes dtab"
"""Whose cells these are, in the state of the watches."""

T = TypeVar("T")

_KEY: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_MERGE: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class ConfigMapPlace:
    """Which ConfigMap it is."""

    namespace: str
    name: str

    @property
    def collection(self) -> str:
        """The path of the ConfigMaps beside it."""
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    def __str__(self) -> str:
        return f"ConfigMap {self.namespace}/{self.name}"


def config_map_dtab(
    api: Api, place: ConfigMapPlace, key: str, behind: Dtab, watches: Watches, rng: random.Random
) -> Cell[DtabState]:
    """The table under a key with `behind` after it, live while somebody subscribes."""
    return config_map_document(api, place, key, dtab_document(behind), SOURCE, watches, rng)


def config_map_document(
    api: Api,
    place: ConfigMapPlace,
    key: str,
    document: Document[T],
    source: str,
    watches: Watches,
    rng: random.Random,
) -> Cell[Followed[T]]:
    """What the text under a key means, live while somebody subscribes. `source` says whose it is."""
    unknown: Followed[T] = PENDING
    feed = partial(_follow, api, place, key, document, rng)
    return watches.cell(document.key(source, f"{api.url} {place} {key}"), unknown, feed)


async def _follow(
    api: Api, place: ConfigMapPlace, key: str, document: Document[T], rng: random.Random, cell: Cell[Followed[T]]
) -> None:
    query = Query(
        path=place.collection,
        kind=ConfigMap,
        selector=("fieldSelector", f"metadata.name={place.name}"),
        need=f"list and watch configmaps in the namespace {place.namespace}",
    )
    await Reflector(api, query, _Reader(cell, place, key, document), rng).run()


class _Reader(Generic[T]):
    """Reads the text out of the ConfigMap."""

    def __init__(self, cell: Cell[Followed[T]], place: ConfigMapPlace, key: str, document: Document[T]) -> None:
        self._cell = cell
        self._place = place
        self._key = key
        self._document = document

    def known(self, objects: Mapping[str, ConfigMap]) -> None:
        now = trio.current_time()
        found = objects.get(self._place.name)
        text = None if found is None else (found.data or {}).get(self._key)
        if text is not None:
            self._document.arrived(self._cell, text, f"{self._place} {self._key}", now)
        else:
            missing = "there is no such ConfigMap" if found is None else f"it has no key {self._key}"
            self._document.unusable(self._cell, f"{self._place}: {missing}", now)

    def failed(self, reason: str, retry_at: float) -> None:
        self._document.unusable(self._cell, reason, trio.current_time(), retry_at)


class ConfigMapDtabStore:
    """The dtabs of one ConfigMap: a DtabStore."""

    def __init__(self, api: Api, place: ConfigMapPlace) -> None:
        self._api = api
        self._place = place
        self.name = f"{api.url} {place}"

    async def list(self) -> list[str]:
        """The keys."""
        found = await self._read()
        return [] if found is None else sorted(found.data or ())

    async def get(self, namespace: str) -> StoredDtab | None:
        """The text under a key; its version is that of the whole ConfigMap."""
        found = await self._read()
        text = None if found is None else (found.data or {}).get(namespace)
        return None if found is None or text is None else StoredDtab(text, found.metadata.resource_version)

    async def set(self, namespace: str, text: str, version: str | None) -> None:
        """Replace the text under a key, or add the key, and the ConfigMap if there is none."""
        if not _KEY.fullmatch(namespace):
            raise StoreError(f"{self.name}: {namespace!r} is no key; expected letters, digits, '-', '_' and '.'")
        if version is None:
            await self._add(namespace, text)
        else:
            await self._patch(namespace, text, version)

    async def _add(self, namespace: str, text: str) -> None:
        found = await self._read()
        if found is None:
            metadata = {"name": self._place.name, "namespace": self._place.namespace}
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {namespace: text}}
            await self._write("POST", self._place.collection, body, "application/json")
        elif namespace in (found.data or {}):
            raise StoreConflict(f"{self.name}: somebody else has just made {namespace}")
        else:
            await self._patch(namespace, text, found.metadata.resource_version)

    async def _patch(self, namespace: str, text: str, version: str) -> None:
        body = {"metadata": {"resourceVersion": version}, "data": {namespace: text}}
        await self._write("PATCH", f"{self._place.collection}/{self._place.name}", body, _MERGE)

    async def _read(self) -> ConfigMap | None:
        try:
            async with self._api.session() as client:
                return await self._get(client)
        except ApiError as error:
            raise StoreError(advised(error, self._need("get"))) from None

    async def _get(self, client: Client) -> ConfigMap | None:
        try:
            return (await client.get(f"{self._place.collection}/{self._place.name}")).json(ConfigMap)
        except StatusError as error:
            if error.status == 404:
                return None
            raise

    async def _write(self, method: str, path: str, body: dict[str, Any], kind: str) -> None:
        try:
            async with self._api.session() as client:
                await client.send(method, path, msgspec.json.encode(body), kind)
        except StatusError as error:
            if error.status in (404, 409):
                raise StoreConflict(f"{self.name}: it has changed since it was read; look again") from None
            raise StoreError(advised(error, self._need("create and patch"))) from None
        except ApiError as error:
            raise StoreError(str(error)) from None

    def _need(self, verbs: str) -> str:
        return f"{verbs} configmaps in the namespace {self._place.namespace}"
