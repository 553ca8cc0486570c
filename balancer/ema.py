"""Exponential moving average over stamps that need not be evenly spaced.

A value that is one window old keeps the weight 1/e:  new = x (1 - w) + old w,  w = e^(-elapsed / window).
The stamp may count seconds or requests; the window is in the same unit. The first value is taken whole.

Source: finagle's ``Ema``; Eckner, "Algorithms for Unevenly Spaced Time Series" (2012).
"""

from math import exp


class Ema:
    """The average of all values so far, the recent ones counting most."""

    __slots__ = ("_stamp", "_window", "value")

    def __init__(self, window: float) -> None:
        self._window = window
        self._stamp: float | None = None
        self.value = 0.0

    def update(self, value: float, stamp: float) -> float:
        """Take in *value*, seen at *stamp*, and return the average. Stamps must not run backwards."""
        if self._stamp is None:
            self.value = value
        else:
            keep = exp((self._stamp - stamp) / self._window)
            self.value = value + (self.value - value) * keep
        self._stamp = stamp
        return self.value

    def reset(self) -> None:
        """Forget everything; the next value is taken whole."""
        self._stamp = None
        self.value = 0.0
