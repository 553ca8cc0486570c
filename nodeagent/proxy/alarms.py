"""Tasks that start at a given time unless they are called off, which they mostly are: one sleeper for all of them.

Setting one and calling it off costs a few microseconds; a nursery with a sleeping task would cost a hundred. An edge.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable
from itertools import count
from math import inf
from typing import TypeAlias

import structlog
import trio

log = structlog.get_logger("nodeagent.alarms")

Ring: TypeAlias = Callable[[], Awaitable[None]]


class Alarm:
    """One task that is to start. It is off once its time has come, or when it was called off."""

    __slots__ = ("_ring",)

    def __init__(self, ring: Ring) -> None:
        self._ring: Ring | None = ring

    def call_off(self) -> None:
        """Do not start it, and let go of what it holds. Idempotent."""
        self._ring = None

    @property
    def off(self) -> bool:
        """Whether nothing will start."""
        return self._ring is None

    def take(self) -> Ring | None:
        """Return what to run, once; None when it is off."""
        ring, self._ring = self._ring, None
        return ring


class Alarms:
    """The alarms of one agent. `run` owns the tasks that they start."""

    def __init__(self) -> None:
        self._set: list[tuple[float, int, Alarm]] = []
        """A heap. Those that were called off stay in it until their time, empty."""
        self._number = count()
        self._nap = trio.CancelScope()
        """Around the sleep until the next one."""

    def at(self, due: float, ring: Ring) -> Alarm:
        """Start `ring` as a task at `due`, in trio's clock. What it raises is logged."""
        alarm = Alarm(ring)
        heapq.heappush(self._set, (due, next(self._number), alarm))
        if due < self._nap.deadline:
            self._nap.deadline = due
        return alarm

    async def run(self) -> None:
        """Start what is due, for ever. Cancelling ends what was started."""
        async with trio.open_nursery() as nursery:
            while True:
                with trio.CancelScope(deadline=self._start_due(nursery)) as self._nap:
                    await trio.sleep_forever()

    def _start_due(self, nursery: trio.Nursery) -> float:
        """Start what is due and return when the next one is."""
        now = trio.current_time()
        while self._set:
            due, _, alarm = self._set[0]
            if alarm.off:
                heapq.heappop(self._set)
            elif due <= now:
                heapq.heappop(self._set)
                nursery.start_soon(_rung, alarm)
            else:
                return due
        return inf


async def _rung(alarm: Alarm) -> None:
    """Run it, unless it was called off at the last moment."""
    ring = alarm.take()
    if ring is None:
        return
    try:
        await ring()
    except Exception:
        log.exception("a bug: what an alarm started has failed")
