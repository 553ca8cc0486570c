"""A histogram for the hot path: one bisection an observation, cumulative counts and recent percentiles.

Counts only ever grow. Two readers share them:

* Prometheus wants cumulative counts at a few bounds (`cumulative`). The bounds are edges of the fine buckets,
  so these counts are exact, not interpolated.
* linkerd 1.x wants percentiles of the last minute (`window`). The owner calls `roll()` every `STEP_SECONDS`;
  a window is the difference between the counts now and those `STEPS` rolls ago, so it spans 40 to 60 seconds,
  and shows the latest observation at once.

Latency edges run from 10 us to 1 hour. The series 1, 2, 5, 10... is divided geometrically so that neighbours
differ by at most 10.25 %; a value reported as the geometric middle of its bucket is then within 5 % of the
truth. The approach is that of finagle's BucketedHistogram and of HdrHistogram, with edges chosen for people.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from operator import add, sub

WINDOW_SECONDS = 60.0
STEPS = 3
STEP_SECONDS = WINDOW_SECONDS / STEPS

_GROWTH = 1.05**2
_ANCHORS = (
    *(1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0),
)


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Where buckets end and what a value inside one is reported as.

    Bucket i holds values v with edges[i-1] < v <= edges[i]; the last one holds all above the last edge.
    `values` has one entry more than `edges`.
    """

    edges: tuple[float, ...]
    values: tuple[float, ...]


def _latency_scale() -> Scale:
    edges = [_ANCHORS[0]]
    for low, high in pairwise(_ANCHORS):
        parts = math.ceil(math.log(high / low) / math.log(_GROWTH))
        edges += [low * (high / low) ** (part / parts) for part in range(1, parts)]
        edges.append(high)
    middles = [math.sqrt(low * high) for low, high in pairwise(edges)]
    return Scale(tuple(edges), (edges[0], *middles, edges[-1]))


def _count_scale(highest: int) -> Scale:
    numbers = tuple(float(number) for number in range(highest + 1))
    return Scale(numbers, (*numbers, highest + 1.0))


LATENCY = _latency_scale()
"""Seconds, 10 us to 1 hour, within 5 %."""

SMALL_COUNT = _count_scale(25)
"""Whole numbers, exact up to 25; what is above reads as 26."""


@dataclass(frozen=True, slots=True)
class Summary:
    """linkerd's view of a distribution. Count, sum and avg are exact, the rest as good as the scale."""

    count: int
    sum: float
    avg: float
    min: float
    max: float
    p50: float
    p90: float
    p95: float
    p99: float
    p9990: float
    p9999: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts per bucket and their sum at one moment; or, subtracted, what came between two moments."""

    scale: Scale
    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        """How many observations."""
        return sum(self.counts)

    def __add__(self, other: Snapshot) -> Snapshot:
        if not any(other.counts):
            return self
        return Snapshot(self.scale, tuple(map(add, self.counts, other.counts)), self.sum + other.sum)

    def __sub__(self, other: Snapshot) -> Snapshot:
        return Snapshot(self.scale, tuple(map(sub, self.counts, other.counts)), self.sum - other.sum)

    def with_zeros(self, count: int) -> Snapshot:
        """The same with so many observations of the lowest bucket that there are `count` in all."""
        missing = max(0, count - self.count)
        return Snapshot(self.scale, (self.counts[0] + missing, *self.counts[1:]), self.sum)

    def percentile(self, fraction: float) -> float:
        """The value that `fraction` (0..1) of the observations do not exceed; 0.0 when there are none."""
        return self._percentiles((fraction,))[0]

    def summary(self) -> Summary | None:
        """All that linkerd shows of it, or None when nothing was observed."""
        count = self.count
        if not count:
            return None
        lowest, *percentiles, highest = self._percentiles((0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0))
        average = self.sum / count
        # The average is exact and the edges are not: a single value must not lie outside its own range.
        return Summary(count, self.sum, average, min(lowest, average), max(highest, average), *percentiles)

    def _percentiles(self, fractions: Sequence[float]) -> list[float]:
        running = list(accumulate(self.counts))
        if not running[-1]:
            return [0.0] * len(fractions)
        ranks = (max(1, math.ceil(fraction * running[-1])) for fraction in fractions)
        return [self.scale.values[bisect_left(running, rank)] for rank in ranks]


class Histogram:
    """One distribution since it began. Not thread-safe: it belongs to the thread of the event loop."""

    __slots__ = ("_counts", "_edges", "_marks", "_scale", "sum")

    def __init__(self, scale: Scale = LATENCY) -> None:
        self._scale = scale
        self._edges = scale.edges
        self._counts: list[int] = []  # the buckets come with the first value: thousands never see one
        self._marks = (_nothing(scale),) * STEPS
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value: seconds on the latency scale."""
        bucket = bisect_left(self._edges, value)
        try:
            self._counts[bucket] += 1
        except IndexError:
            self._counts = [0] * len(self._scale.values)
            self._counts[bucket] = 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many observations so far."""
        return sum(self._counts)

    def clear(self) -> None:
        """Forget everything."""
        self._counts = []
        self._marks = (_nothing(self._scale),) * STEPS
        self.sum = 0.0

    def absorb(self, other: Histogram) -> None:
        """Add what `other` (of the same scale) has counted, its place in the window included."""
        if not any(other._counts):
            return
        self._counts = list(map(add, self._counts, other._counts)) if self._counts else other._counts.copy()
        self.sum += other.sum
        self._marks = tuple(map(add, self._marks, other._marks))

    def state(self) -> list[tuple[Sequence[int], float]]:
        """All of it as plain values, for another process: what was counted up to each step of the window, and so far.

        Empty when nothing was observed.
        """
        if not self._counts:
            return []
        return [(mark.counts, mark.sum) for mark in self._marks] + [(self._counts, self.sum)]

    def restore(self, state: Sequence[tuple[Sequence[int], float]]) -> None:
        """Become what had that `state`, which is not empty."""
        *marks, (counts, total) = state
        self._marks = tuple([Snapshot(self._scale, tuple(before), sum_before) for before, sum_before in marks])
        self._counts = list(counts)
        self.sum = total

    def snapshot(self) -> Snapshot:
        """What was counted so far."""
        if not self._counts:
            return _nothing(self._scale)
        return Snapshot(self._scale, tuple(self._counts), self.sum)

    def roll(self) -> None:
        """One step of `STEP_SECONDS` has passed: what is older than `STEPS` of them leaves the window."""
        newest = self.snapshot()
        # An idle histogram keeps one snapshot three times, not three equal ones.
        self._marks = (*self._marks[1:], self._marks[-1] if newest == self._marks[-1] else newest)

    def window(self) -> Snapshot:
        """What was counted within the last window."""
        return self.snapshot() - self._marks[0]

    def cumulative(self, bounds: Iterable[float]) -> list[int]:
        """For each bound (ascending) how many observations did not exceed it, exactly.

        Raises ValueError when a bound is not an edge of the scale.
        """
        result, position, total = [], 0, 0
        for bound in bounds:
            end = _index(self._edges, bound) + 1
            total += sum(self._counts[position:end])
            position = end
            result.append(total)
        return result


@cache
def _nothing(scale: Scale) -> Snapshot:
    """The snapshot of an empty histogram, one for all of a scale: an agent has thousands that are never used."""
    return Snapshot(scale, (0,) * len(scale.values), 0.0)


def _index(edges: Sequence[float], bound: float) -> int:
    index = bisect_left(edges, bound)
    if index == len(edges) or edges[index] != bound:
        raise ValueError(f"{bound} is not an edge of this histogram; choose one of its anchors, such as 0.1")
    return index
