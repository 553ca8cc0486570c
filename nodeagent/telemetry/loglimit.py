"""A limit for lines of the log that somebody can bring about as often as he likes. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

BURST: Final = 20
INTERVAL: Final = 1.0
"""Seconds for each line beyond the burst."""
SETTLED: Final = 2.0
"""Seconds without another one, after which what was held back last is told by itself."""
MAX_EVENTS: Final = 500
"""Kinds of lines that are told apart; of more, the one that came first is forgotten."""

Event = TypeVar("Event", bound=Hashable)


class LogLimit:
    """Lets `burst` lines through at once, then one each `interval` seconds, and counts the others (GCRA, as of ATM)."""

    __slots__ = ("_burst", "_due", "_held", "_interval", "held_at")

    def __init__(self, burst: int = BURST, interval: float = INTERVAL) -> None:
        self._burst = burst
        self._interval = interval
        self._due = 0.0
        """When all that was let through is paid for, at one line each interval."""
        self._held = 0
        self.held_at = 0.0
        """When one was held back last."""

    def take(self, now: float) -> int | None:
        """Return how many lines were held back since the last one that was not; None to hold this one back too."""
        due = max(self._due, now)
        if due - now > (self._burst - 1) * self._interval:
            self._held += 1
            self.held_at = now
            return None
        self._due = due + self._interval
        return self.told()

    def told(self) -> int:
        """Return how many were held back, which somebody tells now."""
        held, self._held = self._held, 0
        return held

    def idle(self, now: float) -> bool:
        """Whether all is paid for and told, as if there had never been a line."""
        return self._due <= now and not self._held


class Repeats(Generic[Event]):
    """Folds lines that say the same: a limit for each kind of line."""

    def __init__(self, burst: int = BURST, interval: float = INTERVAL) -> None:
        self._burst = burst
        self._interval = interval
        self._limits: dict[Event, LogLimit] = {}

    def take(self, event: Event, now: float) -> int | None:
        """As `LogLimit.take`, for the lines of one event."""
        limit = self._limits.get(event)
        if limit is None:
            if len(self._limits) >= MAX_EVENTS:
                del self._limits[next(iter(self._limits))]
            limit = self._limits[event] = LogLimit(self._burst, self._interval)
        return limit.take(now)

    def untold(self, now: float) -> list[tuple[Event, int]]:
        """Return what was held back of events that have ended, each once, and forget what there is no need to know."""
        found = [
            (event, held)
            for event, limit in self._limits.items()
            if now - limit.held_at >= SETTLED and (held := limit.told())
        ]
        for event in [event for event, limit in self._limits.items() if limit.idle(now)]:
            del self._limits[event]
        return found
