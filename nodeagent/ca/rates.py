"""How often each caller may come: a bucket of tokens each, in bounded memory. Pure."""

from __future__ import annotations

from collections import OrderedDict

MAX_CALLERS = 4096
"""Callers that are remembered; beyond, those that were not seen for the longest time begin anew."""


class Rates:
    """A burst at once, then so many a second."""

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst = float(burst)
        self._per_second = per_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Of each caller what is left, and when that was."""

    def allows(self, caller: str, now: float) -> bool:
        """Tell whether a caller may come now (seconds), and count that."""
        left, at = self._left.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        allowed = left >= 1.0
        self._left[caller] = (left - 1.0 if allowed else left, now)
        if len(self._left) > MAX_CALLERS:
            self._left.popitem(last=False)
        return allowed
