"""A limit for lines of the log that a caller can bring about as often as he likes. Pure: time is an argument."""

from __future__ import annotations

from typing import Final

BURST: Final = 10
INTERVAL: Final = 1.0
"""Seconds for each line beyond the burst."""


class LogLimit:
    """Lets BURST lines through at once, then one each INTERVAL, and counts those in between (GCRA, as of ATM)."""

    __slots__ = ("_due", "_held")

    def __init__(self) -> None:
        self._due = 0.0
        """When all that was let through is paid for, at one line each INTERVAL."""
        self._held = 0

    def take(self, now: float) -> int | None:
        """Return how many lines were held back since the last one that was not; None to hold this one back too."""
        due = max(self._due, now)
        if due - now > (BURST - 1) * INTERVAL:
            self._held += 1
            return None
        self._due = due + INTERVAL
        held, self._held = self._held, 0
        return held
