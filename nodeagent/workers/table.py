"""What the workers of a host share of their balancing, in memory that all of them map. An edge.

A table of slots: one for each endpoint of a concrete name of a router that any worker uses, with a column for each
worker. A worker writes its own column only, so no request waits for a lock: each number is one aligned word, and the
numbers of a verdict are bracketed by its version, which is 0 while they are written.

    holders   a byte for each slot and worker: whether it uses the slot
    keys      for each slot, which endpoint it is
    columns   for each slot and worker, eight numbers: see the offsets below

Which slot an endpoint has follows from its name: the first of WINDOW places from its hash on that is its own or free. A
slot is free when no worker holds it, so nothing ever has to be collected. Only the taking of a slot is locked, by a
lock that the kernel takes away from a process that dies; who does not get it at once, or finds no place, does not share
that endpoint, and balances over it as one process alone would.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Final

from balancer.accrual import Health, Reason, Verdict
from namer.addr import Endpoint
from namer.namer import Bound

SLOTS: Final = 16384
"""Endpoints that are shared at most: about half of them, before the first finds no place."""
WINDOW: Final = 16
"""Places that an endpoint may have."""
LOCK_TRIES: Final = 20
LOCK_PAUSE: Final = 0.0001
"""Seconds; a slot is taken within microseconds, so whoever holds the lock for long was stopped."""

_KEY: Final = 16  # bytes
_COLUMN: Final = 8  # numbers, which is a line of the processor's cache
_WORD: Final = 8  # bytes
_PENDING, _COST, _VERSION, _HEALTH, _REASON, _RETRY_AT, _DEAD_SINCE = range(7)

_HEALTHS: Final = tuple(Health)
_REASONS: Final = (None, *Reason)


def make_table(workers: int) -> int:
    """Return a descriptor of an empty table for so many workers; it lives as long as somebody has it open."""
    fd = os.memfd_create("nodeagent-workers")
    os.ftruncate(fd, _size(workers))
    return fd


def _size(workers: int) -> int:
    return SLOTS * (workers + _KEY + workers * _COLUMN * _WORD)


class Table:
    """The table, as one process maps it."""

    def __init__(self, fd: int, workers: int) -> None:
        """`fd` is of `make_table(workers)`."""
        self._fd = fd
        self.workers = workers
        memory = memoryview(mmap.mmap(fd, _size(workers)))
        keys = SLOTS * workers
        columns = keys + SLOTS * _KEY
        self._holders = memory[:keys]
        self._keys = memory[keys:columns]
        self.numbers = memory[columns:].cast("d")

    def take(self, key: bytes, worker: int) -> int | None:
        """Return the slot of `key`, held by `worker` from now on; None without room, or when it holds it already."""
        with self._locked() as locked:
            slot = self._find(key) if locked else None
            if slot is None or self._holders[slot * self.workers + worker]:
                return None
            self._keys[slot * _KEY : (slot + 1) * _KEY] = key
            self._wipe(slot, worker)
            self._holders[slot * self.workers + worker] = 1
            return slot

    def leave(self, slot: int, worker: int) -> None:
        """Let go of a slot."""
        self._wipe(slot, worker)
        self._holders[slot * self.workers + worker] = 0

    def clear(self, worker: int) -> None:
        """Let go of all that a worker holds, which is dead."""
        held = bytes(self._holders[worker :: self.workers])
        slot = held.find(1)
        while slot >= 0:
            self.leave(slot, worker)
            slot = held.find(1, slot + 1)

    def first(self, slot: int, worker: int) -> int:
        """Return where the numbers of a worker begin."""
        return (slot * self.workers + worker) * _COLUMN

    def _find(self, key: bytes) -> int | None:
        free = None
        first = int.from_bytes(key[:8]) % SLOTS
        for place in range(first, first + WINDOW):
            slot = place % SLOTS
            if any(self._holders[slot * self.workers : (slot + 1) * self.workers]):
                if self._keys[slot * _KEY : (slot + 1) * _KEY] == key:
                    return slot
            elif free is None:
                free = slot
        return free

    def _wipe(self, slot: int, worker: int) -> None:
        start = self.first(slot, worker)
        for at in (start + _VERSION, *range(start, start + _COLUMN)):  # the verdict ceases to be one first
            self.numbers[at] = 0.0

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        for _ in range(LOCK_TRIES):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(LOCK_PAUSE)
                continue
            try:
                yield True
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN)
            return
        yield False


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The other workers, for the endpoints of one concrete name of a router."""

    table: Table
    worker: int
    offset: float
    """What the time of all workers, CLOCK_MONOTONIC, is ahead of this one's."""
    name: str

    def seat(self, endpoint: Endpoint) -> Place | None:
        """Return the place of an endpoint; None where there is no room."""
        text = f"{self.name}\0{endpoint.host}\0{endpoint.port}"
        slot = self.table.take(blake2b(text.encode(errors="surrogateescape"), digest_size=_KEY).digest(), self.worker)
        return None if slot is None else Place(self.table, slot, self.worker, self.offset)


def neighbours(table: Table, worker: int, offset: float, router: str, bound: Bound) -> Neighbours:
    """Return the other workers, for a concrete name of a router."""
    return Neighbours(table, worker, offset, f"{router}\0{bound.id.show()}\0{bound.twin}\0{bound.provenance.value}")


class Place:
    """A slot as one worker has it: `balancer.peers.Seat`. Times are this worker's."""

    __slots__ = (
        "_mine",
        "_numbers",
        "_offset",
        "_others",
        "_slot",
        "_table",
        "_worker",
        "pending_elsewhere",
        "put_pending",
    )

    def __init__(self, table: Table, slot: int, worker: int, offset: float) -> None:
        self._table, self._slot, self._worker, self._offset = table, slot, worker, offset
        self._numbers = table.numbers
        self._mine = table.first(slot, worker)
        self._others = tuple(table.first(slot, each) for each in range(table.workers) if each != worker)
        # Both are called several times a request, so they are made of what needs no frame where that will do.
        self.put_pending: Callable[[int], None] = partial(self._numbers.__setitem__, self._mine + _PENDING)
        """Tell how many requests of this worker are under way."""
        self.pending_elsewhere = _sum_of(self._numbers, [first + _PENDING for first in self._others])
        """Return how many requests of the others are under way."""

    def put_cost(self, seconds: float) -> None:
        """Tell what a request costs."""
        self._numbers[self._mine + _COST] = seconds

    def cost_elsewhere(self) -> float:
        """Return the most that a request costs another worker."""
        return max((self._numbers[first + _COST] for first in self._others), default=0.0)

    def version(self, now: float) -> float:
        """Return the time on the clock of all workers, which is passed on as it is."""
        return now + self._offset

    def put_verdict(self, verdict: Verdict) -> None:
        """Tell the newest verdict."""
        numbers, mine, offset = self._numbers, self._mine, self._offset
        numbers[mine + _VERSION] = 0.0
        numbers[mine + _HEALTH] = _HEALTHS.index(verdict.health)
        numbers[mine + _REASON] = _REASONS.index(verdict.reason)
        numbers[mine + _RETRY_AT] = verdict.retry_at + offset
        numbers[mine + _DEAD_SINCE] = verdict.dead_since + offset
        numbers[mine + _VERSION] = verdict.version

    def newest_elsewhere(self) -> Verdict | None:
        """Return the newest verdict of another worker; one that is being written is seen the next time."""
        numbers, offset = self._numbers, self._offset
        version, first = max(((numbers[each + _VERSION], each) for each in self._others), default=(0.0, 0))
        if not version:
            return None
        verdict = Verdict(
            version,
            _HEALTHS[int(numbers[first + _HEALTH])],
            _REASONS[int(numbers[first + _REASON])],
            numbers[first + _RETRY_AT] - offset,
            numbers[first + _DEAD_SINCE] - offset,
        )
        return verdict if numbers[first + _VERSION] == version else None

    def leave(self) -> None:
        """Let go of the slot."""
        self._table.leave(self._slot, self._worker)


def _sum_of(numbers: memoryview[float], places: Sequence[int]) -> Callable[[], float]:
    """Return what reads the sum of the numbers at these places."""
    if len(places) == 1:
        return partial(numbers.__getitem__, places[0])

    def total() -> float:
        found = 0.0
        for at in places:
            found += numbers[at]
        return found

    return total
