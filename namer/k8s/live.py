"""Collections of the Kubernetes API as live cells: one holds the objects of one query, however many names use it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from namer.cell import Cell
from namer.k8s.api import Api
from namer.k8s.objects import Object
from namer.k8s.reflector import Query, Reflector
from namer.report import Complaints, Report, Reporter
from namer.watch import Cells, WatchKey

T = TypeVar("T", bound=Object)
Objects: TypeAlias = Cell[Report[tuple[T, ...]]]
"""The objects of a query, sorted by name."""


class Collections:
    """The collections that one namer or interpreter reads; `source` is whose they are in the state of the watches."""

    def __init__(self, source: str, api: Api, watches: Cells, rng: random.Random) -> None:
        self._source = source
        self._api = api
        self._watches = watches
        self._rng = rng
        self._complaints = Complaints(f"kubernetes {api.url}")

    def cell(self, what: str, name: str, query: Query[T]) -> Objects[T]:
        """The objects of a query, live while somebody subscribes; `what` and `name` are its key in the watches."""
        unknown: Report[tuple[T, ...]] = Report(None)
        return self._watches.cell(WatchKey(self._source, what, name), unknown, partial(self._feed, query, name))

    async def _feed(self, query: Query[T], name: str, cell: Objects[T]) -> None:
        reporter = Reporter(cell, partial(self._complaints.complain, name))
        await Reflector(self._api, query, _Audience(reporter), self._rng).run()


class _Audience(Generic[T]):
    """Reports what the reflector tells."""

    def __init__(self, reporter: Reporter[tuple[T, ...]]) -> None:
        self._reporter = reporter

    def known(self, objects: Mapping[str, T]) -> None:
        self._reporter.holds(tuple(objects[name] for name in sorted(objects)))

    def failed(self, reason: str, retry_at: float) -> None:
        self._reporter.doubtful(self._reporter.answer, reason, retry_at)
