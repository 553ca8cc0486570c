"""Collections of the Kubernetes API as live cells: one holds the objects of one query, however many names use it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial
from typing import Generic, TypeAlias, TypeVar

import structlog
import trio

from namer.cell import Cell
from namer.k8s.api import Api
from namer.k8s.objects import Object
from namer.k8s.reflector import Query, Reflector
from namer.report import Report
from namer.watch import Watches, WatchKey

T = TypeVar("T", bound=Object)
Objects: TypeAlias = Cell[Report[tuple[T, ...]]]
"""The objects of a query, sorted by name."""

log = structlog.get_logger(__name__)


class Collections:
    """The collections that one namer or interpreter reads; `source` is whose they are in the state of the watches."""

    def __init__(self, source: str, api: Api, watches: Watches, rng: random.Random) -> None:
        self._source = source
        self._api = api
        self._watches = watches
        self._rng = rng

    def cell(self, what: str, name: str, query: Query[T]) -> Objects[T]:
        """The objects of a query, live while somebody subscribes; `what` and `name` are its key in the watches."""
        unknown: Report[tuple[T, ...]] = Report(None)
        return self._watches.cell(WatchKey(self._source, what, name), unknown, partial(self._feed, query))

    async def _feed(self, query: Query[T], cell: Objects[T]) -> None:
        await Reflector(self._api, query, _Reporter(cell), self._rng).run()


class _Reporter(Generic[T]):
    """Writes what the reflector tells into the cell."""

    def __init__(self, cell: Objects[T]) -> None:
        self._cell = cell

    def known(self, objects: Mapping[str, T]) -> None:
        if self._cell.error is not None:
            log.info("the Kubernetes API answers again", after=self._cell.error)
        self._cell.set(Report(tuple(objects[name] for name in sorted(objects))), trio.current_time())

    def failed(self, reason: str, retry_at: float) -> None:
        if reason != self._cell.error:
            log.warning("the Kubernetes API cannot be read; what was good before stays", problem=reason)
        self._cell.fail(reason, trio.current_time(), retry_at)
        self._cell.replace(Report(self._cell.value.answer, reason, retry_at))
