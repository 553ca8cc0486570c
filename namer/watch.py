"""The one owner of live sources: each cell that somebody subscribes to has a task that feeds it.

    first subscriber            the feed is started
    last one leaves             it goes on for `idle` seconds, then ends, and the cell forgets its value
    a feed raises               logged, recorded in the cell, started again after a jittered, growing delay
    a feed returns              it has said its last word; the value stays until the cell is idle

Equal keys share one cell, and so one feed, for as long as anybody holds the cell. Nothing is kept of a cell
that nobody holds and nobody watches, so names that are made up cost nothing for long.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar, cast
from weakref import WeakValueDictionary

import structlog
import trio

from namer.cell import Cell

FIRST_DELAY: Final = 0.1  # seconds before a failed feed is started again, doubled each time
MAX_DELAY: Final = 30.0

T = TypeVar("T")
Feed: TypeAlias = Callable[[Cell[T]], Awaitable[None]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WatchKey:
    """What a cell holds: `source` is whose it is (a namer's prefix), `what` its kind, `name` which one."""

    source: str
    what: str
    name: str


@dataclass(frozen=True, slots=True)
class WatchStatistics:
    """One cell as it stands; `updated_at`, `error` and `retry_at` as in Cell."""

    key: WatchKey
    subscribers: int
    version: int
    updated_at: float | None
    error: str | None
    retry_at: float | None


@dataclass(frozen=True, slots=True)
class SourceTotals:
    """What one source has delivered since the start."""

    updates: int = 0
    errors: int = 0


@dataclass(slots=True)
class _Watch:
    """A cell that is being fed."""

    key: WatchKey
    cell: Cell[Any]
    initial: Any
    feed: Feed[Any]
    scope: trio.CancelScope
    version_before: int


class Watches:
    """Owns the tasks that keep cells live. Start `run` once; cells may be made and subscribed to before."""

    def __init__(self, rng: random.Random, *, idle: float = 30.0) -> None:
        self._rng = rng
        self._idle = idle
        self._cells: WeakValueDictionary[WatchKey, Cell[Any]] = WeakValueDictionary()
        self._watched: dict[WatchKey, _Watch] = {}
        self._ended: dict[str, SourceTotals] = {}
        self._starts, self._to_start = trio.open_memory_channel[_Watch](math.inf)

    def cell(self, key: WatchKey, initial: T, feed: Feed[T]) -> Cell[T]:
        """The cell of `key`, which `feed(cell)` keeps live while somebody subscribes to it."""
        known = self._cells.get(key)
        if known is None:
            known = Cell(initial, partial(self._interest_changed, key, initial, feed))
            self._cells[key] = known
        return cast("Cell[T]", known)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Feed the cells. Returns only by being cancelled, which ends all feeds and keeps all values."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            async for watch in self._to_start:
                nursery.start_soon(self._tend, watch)
                del watch  # or the cell would live until the next one is started

    def statistics(self) -> tuple[WatchStatistics, ...]:
        """All cells that somebody holds, for people to look at."""
        return tuple(
            WatchStatistics(key, cell.subscribers, cell.version, cell.updated_at, cell.error, cell.retry_at)
            for key, cell in self._cells.items()
        )

    def totals(self) -> Mapping[str, SourceTotals]:
        """Updates and errors by source, including those of cells that are gone."""
        totals = dict(self._ended)
        for watch in self._watched.values():
            totals[watch.key.source] = _with(totals.get(watch.key.source, SourceTotals()), watch)
        return totals

    def _interest_changed(self, key: WatchKey, initial: T, feed: Feed[T], cell: Cell[T]) -> None:
        watch = self._watched.get(key)
        if watch is not None:
            watch.scope.deadline = math.inf if cell.subscribers else trio.current_time() + self._idle
        elif cell.subscribers:
            watch = _Watch(key, cell, initial, feed, trio.CancelScope(), cell.version)
            self._watched[key] = watch
            self._starts.send_nowait(watch)

    async def _tend(self, watch: _Watch) -> None:
        while watch.cell.subscribers:  # again: somebody may have come while the last feed was being cancelled
            with watch.scope:
                await self._keep_feeding(watch)
            watch.scope = trio.CancelScope()
        del self._watched[watch.key]
        source = watch.key.source
        self._ended[source] = _with(self._ended.get(source, SourceTotals()), watch)
        watch.cell.forget(watch.initial)

    async def _keep_feeding(self, watch: _Watch) -> None:
        failures_in_a_row = 0
        while True:
            confirmed_at = watch.cell.updated_at
            try:
                await watch.feed(watch.cell)
                await trio.sleep_forever()
            except Exception as problem:
                if watch.cell.updated_at != confirmed_at:
                    failures_in_a_row = 0
                delay = restart_delay(failures_in_a_row, self._rng)
                _report(watch, problem, delay)
            failures_in_a_row += 1
            await trio.sleep(delay)


def restart_delay(failures: int, rng: random.Random) -> float:
    """Seconds to wait after `failures` in a row and one more, partly by chance, so that feeds spread out."""
    return min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(failures, 16)) * rng.uniform(0.5, 1.0)


def _report(watch: _Watch, problem: Exception, delay: float) -> None:
    error = f"{type(problem).__name__}: {problem}"
    now = trio.current_time()
    watch.cell.fail(error, now, now + delay)
    log.warning("watch failed", source=watch.key.source, name=watch.key.name, error=error, retry_in=delay)


def _with(totals: SourceTotals, watch: _Watch) -> SourceTotals:
    return SourceTotals(totals.updates + watch.cell.version - watch.version_before, totals.errors + watch.cell.failures)
