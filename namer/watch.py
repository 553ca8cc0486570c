"""The one owner of live sources: each cell that somebody subscribes to has a task that feeds it.

    first subscriber            the feed is started
    last one leaves             it goes on for `idle` seconds, then ends, and the cell forgets its value
    a feed raises               logged, recorded in the cell, started again after a jittered, growing delay
    a feed returns              it has said its last word; the value stays until the cell is idle
    a source fails for long     beyond its limit, if it has one, its answers are flagged, or withdrawn as well

Equal keys share one cell, and so one feed, for as long as anybody holds the cell. Nothing is kept of a cell
that nobody holds and nobody watches, so names that are made up cost nothing for long.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar, cast
from weakref import WeakValueDictionary

import structlog
import trio

from namer.cell import Cell
from namer.staleness import StaleLimit, is_failure, reason, stale_since, withdrawn

FIRST_DELAY: Final = 0.1  # seconds before a failed feed is started again, doubled each time
MAX_DELAY: Final = 30.0
SWEEP: Final = 1.0  # seconds between two looks at what is stale beyond its limit
AT_A_TIME: Final = 500  # answers that are looked at without a break

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
    """One cell as it stands; the fields as in Cell. `overdue` when it is stale beyond the limit of its source."""

    key: WatchKey
    value: Any
    subscribers: int
    version: int
    updated_at: float | None
    error: str | None
    failed_at: float | None
    retry_at: float | None
    stale_since: float | None
    overdue: bool


@dataclass(slots=True)
class SourceTotals:
    """What one source has delivered since the start, and how stale its answers are now.

    `staleness` is that of the answer whose source fails for the longest time, in seconds; `overdue` counts those
    that are stale beyond the limit.
    """

    updates: int = 0
    errors: int = 0
    staleness: float = 0.0
    overdue: int = 0

    def count(self, watch: _Watch) -> None:
        """Add what one watch has delivered."""
        self.updates += watch.cell.version - watch.version_before
        self.errors += watch.cell.failures


@dataclass(slots=True)
class _Watch:
    """A cell that is being fed."""

    key: WatchKey
    cell: Cell[Any]
    initial: Any
    feed: Feed[Any]
    scope: trio.CancelScope
    version_before: int
    withdrawn_since: float | None = None
    """Since when the answer that was withdrawn had been stale; None while none is."""

    @property
    def stale_since(self) -> float | None:
        return stale_since(self.cell, self.withdrawn_since)


class Cells(Protocol):
    """Where sources get the cells that are kept live for them."""

    def cell(self, key: WatchKey, initial: T, feed: Feed[T]) -> Cell[T]:
        """The cell of `key`, which `feed(cell)` keeps live while somebody subscribes to it."""
        ...


@dataclass(frozen=True, slots=True)
class Twin:
    """The cells of one of several sources with the same name, told apart by its number."""

    cells: Cells
    number: int

    def cell(self, key: WatchKey, initial: T, feed: Feed[T]) -> Cell[T]:
        """As of Cells."""
        return self.cells.cell(replace(key, source=twin_source(key.source, self.number)), initial, feed)


def twin_source(source: str, number: int) -> str:
    """What the cells of a twin have as their source; the first one, 0, has the name alone."""
    return f"{source} ({number + 1})" if number else source


class Watches:
    """Owns the tasks that keep cells live. Start `run` once; cells may be made and subscribed to before."""

    def __init__(self, rng: random.Random, *, idle: float = 30.0) -> None:
        self._rng = rng
        self._idle = idle
        self._cells: WeakValueDictionary[WatchKey, Cell[Any]] = WeakValueDictionary()
        self._watched: dict[WatchKey, _Watch] = {}
        self._ended: dict[str, SourceTotals] = {}
        self._limits: dict[str, StaleLimit] = {}
        self._flagged: set[str] = set()
        self._starts, self._to_start = trio.open_memory_channel[_Watch](math.inf)

    def cell(self, key: WatchKey, initial: T, feed: Feed[T]) -> Cell[T]:
        """The cell of `key`, which `feed(cell)` keeps live while somebody subscribes to it."""
        known = self._cells.get(key)
        if known is None:
            known = Cell(initial, partial(self._interest_changed, key, initial, feed))
            self._cells[key] = known
        return cast("Cell[T]", known)

    def limit(self, source: str, limit: StaleLimit) -> None:
        """Hold the answers of `source` to a limit. To be said before `run`."""
        self._limits[source] = limit

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Feed the cells. Returns only by being cancelled, which ends all feeds and keeps all values."""
        async with trio.open_nursery() as nursery:
            if self._limits:
                nursery.start_soon(self._sweep)
            task_status.started()
            async for watch in self._to_start:
                nursery.start_soon(self._tend, watch)
                del watch  # or the cell would live until the next one is started

    def statistics(self) -> tuple[WatchStatistics, ...]:
        """All cells that somebody holds, for people to look at."""
        now = trio.current_time()
        return tuple(self._statistics(key, cell, now) for key, cell in self._cells.items())

    def totals(self) -> Mapping[str, SourceTotals]:
        """Updates, errors and staleness by source; the first two with those of cells that are gone."""
        now = trio.current_time()
        totals = {source: replace(ended) for source, ended in self._ended.items()}
        for watch in self._watched.values():
            source = watch.key.source
            found = totals.get(source)
            if found is None:
                found = totals[source] = SourceTotals()
            found.count(watch)
            if watch.cell.error is not None and watch.cell.subscribers:
                self._count_age(watch, found, now)
        return totals

    def _count_age(self, watch: _Watch, totals: SourceTotals, now: float) -> None:
        since = watch.stale_since
        if since is not None:
            totals.staleness = max(totals.staleness, now - since)
            totals.overdue += self._is_overdue(watch.key.source, since, now)

    def _statistics(self, key: WatchKey, cell: Cell[Any], now: float) -> WatchStatistics:
        watch = self._watched.get(key)
        since = None if watch is None else watch.stale_since
        return WatchStatistics(
            key=key,
            value=cell.value,
            subscribers=cell.subscribers,
            version=cell.version,
            updated_at=cell.updated_at,
            error=cell.error,
            failed_at=cell.failed_at,
            retry_at=cell.retry_at,
            stale_since=since,
            overdue=since is not None and self._is_overdue(key.source, since, now),
        )

    def _is_overdue(self, source: str, since: float, now: float) -> bool:
        limit = self._limits.get(source)
        return limit is not None and now - since > limit.seconds

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP)
            overdue: dict[str, list[_Watch]] = {}
            for number, watch in enumerate(tuple(self._watched.values())):
                if number % AT_A_TIME == 0:  # others have their turn in between
                    await trio.lowlevel.checkpoint()
                    now = trio.current_time()
                limit = self._limits.get(watch.key.source)
                if limit is not None and self._hold_to(limit, watch, now):
                    overdue.setdefault(watch.key.source, []).append(watch)
            self._tell(overdue)

    def _hold_to(self, limit: StaleLimit, watch: _Watch, now: float) -> bool:
        """Tell whether an answer is stale beyond the limit, and withdraw it then if such are refused."""
        since = watch.stale_since
        if since is None or now - since <= limit.seconds:
            watch.withdrawn_since = None
            return False
        if limit.refuse and not is_failure(watch.cell.value):
            instead = withdrawn(watch.initial, reason(watch.cell, since, limit, now))
            if instead is not None:
                watch.withdrawn_since = since
                watch.cell.replace(instead)
        return True

    def _tell(self, overdue: Mapping[str, list[_Watch]]) -> None:
        """Log it once when a source becomes stale beyond its limit, and once when it no longer is."""
        for source in overdue.keys() - self._flagged:
            first, limit = overdue[source][0], self._limits[source]
            log.warning(
                "answers are stale beyond maxStaleSecs",
                source=source,
                answers=len(overdue[source]),
                first=first.key.name,
                error=first.cell.error,
                max_stale_seconds=limit.seconds,
                withdrawn=limit.refuse,
            )
        for source in self._flagged - overdue.keys():
            log.info("answers are no longer stale beyond maxStaleSecs", source=source)
        self._flagged = set(overdue)

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
        self._ended.setdefault(watch.key.source, SourceTotals()).count(watch)
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
