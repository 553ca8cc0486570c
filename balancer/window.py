"""A sum over the last seconds, in constant time and memory.

The window is cut into ten slices, as finagle's ``WindowedAdder`` does: an amount leaves with the slice it was
added in, so after nine to ten tenths of the window.
"""

from math import inf

SLICES = 10


class WindowedSum:
    """The sum of the amounts added during the last *window* seconds."""

    __slots__ = ("_at", "_ends_at", "_slices", "_total", "_width")

    def __init__(self, window: float) -> None:
        self._width = window / SLICES
        self._slices = [0] * SLICES
        self._at = 0
        self._ends_at = -inf
        self._total = 0

    def add(self, amount: int, now: float) -> None:
        """Add *amount*; a negative one takes away."""
        if now >= self._ends_at:
            self._advance(now)
        self._slices[self._at] += amount
        self._total += amount

    def total(self, now: float) -> int:
        """Return what was added less than a window ago."""
        if now >= self._ends_at:
            self._advance(now)
        return self._total

    def _advance(self, now: float) -> None:
        """Drop the slices that are too old and open the one that holds *now*."""
        if now - self._ends_at >= self._width * SLICES:
            self._slices = [0] * SLICES
            self._total = 0
            self._ends_at = now + self._width
        while now >= self._ends_at:
            self._at = (self._at + 1) % SLICES
            self._total -= self._slices[self._at]
            self._slices[self._at] = 0
            self._ends_at += self._width
