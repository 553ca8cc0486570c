"""How long to wait before the next try: values that describe a growing series of delays.

Each is an immutable description; ``delays(rng)`` starts the endless series anew, in seconds. Jitter keeps the
clients of one failing server from coming back together.

Source: finagle's ``Backoff``; Brooker, "Exponential Backoff and Jitter" (AWS architecture blog, 2015).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from math import isfinite
from random import Random


@dataclass(frozen=True, slots=True)
class ConstantBackoff:
    """Always the same *delay*."""

    delay: float

    def __post_init__(self) -> None:
        _check_range(self.delay, self.delay)

    def delays(self, rng: Random) -> Iterator[float]:  # noqa: ARG002 - there is nothing to draw
        """Return the endless series."""
        return repeat(self.delay)


@dataclass(frozen=True, slots=True)
class DecorrelatedJitter:
    """*minimum* first, then between the last delay and three times it, up to *maximum*; never shrinks."""

    minimum: float
    maximum: float

    def __post_init__(self) -> None:
        _check_range(self.minimum, self.maximum)

    def delays(self, rng: Random) -> Iterator[float]:
        """Return the endless series, drawn from *rng*."""
        delay = self.minimum
        while True:
            yield delay
            delay += rng.random() * (min(3 * delay, self.maximum) - delay)


@dataclass(frozen=True, slots=True)
class EqualJitter:
    """*minimum* first, then half fixed and half drawn: 5, 5..10, 10..20, 20..40 and so on, to *maximum*."""

    minimum: float
    maximum: float

    def __post_init__(self) -> None:
        _check_range(self.minimum, self.maximum)

    def delays(self, rng: Random) -> Iterator[float]:
        """Return the endless series, drawn from *rng*."""
        yield self.minimum
        half = self.minimum
        while True:
            yield min(half + rng.random() * half, self.maximum)
            half = min(2 * half, self.maximum)


@dataclass(frozen=True, slots=True)
class ExponentialJitter:
    """Anything from zero to *minimum*, then to twice, four times it and so on, up to *maximum*."""

    minimum: float
    maximum: float

    def __post_init__(self) -> None:
        _check_range(self.minimum, self.maximum)

    def delays(self, rng: Random) -> Iterator[float]:
        """Return the endless series, drawn from *rng*."""
        ceiling = self.minimum
        while True:
            yield rng.random() * ceiling
            ceiling = min(2 * ceiling, self.maximum)


Backoff = ConstantBackoff | DecorrelatedJitter | EqualJitter | ExponentialJitter


def _check_range(minimum: float, maximum: float) -> None:
    """Raise ValueError unless 0 <= *minimum* <= *maximum* < infinity."""
    if not (isfinite(maximum) and 0 <= minimum <= maximum):
        raise ValueError(f"a backoff needs 0 <= minimum <= maximum in seconds, not {minimum} and {maximum}")
