"""When a request that takes long is sent a second time, to another endpoint: after a percentile that is learnt.

A request that is out for longer than, say, 95 % of its like take is probably with an endpoint that is stuck, and
another one answers sooner. A copy costs load, so two things bound it: the delay, which by its meaning only one in
twenty reaches, and a budget (``RetryBudget`` without a reserve), which holds when all become slow at once.

The percentile is that of first attempts, whatever their copies did. One that lost to its copy, or was given up, is
known to have lasted at least so long: it is counted with that. Were it left out, only the fast ones would be counted,
the percentile would sink, more would be copied, and so on down. Counted like this the part of those beyond the delay
stays what it was.

Sources: Dean and Barroso, "The Tail at Scale" (2013), hedged requests; finagle's ``BackupRequestFilter``.
"""

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from balancer.budget import RetryBudget

HALF = 10.0
"""Seconds of a half of the window. What is older than two halves is forgotten; one half at least is looked back on."""

ENOUGH = 100
"""Answers from which something is learnt, at least; and so many that the percentile leaves one beyond it."""

REFRESH = 0.1
"""Seconds between two looks at what was learnt: adding it up takes as long as some requests."""

BUDGET_TTL = 10.0
"""Seconds a request pays for copies."""

EDGES = tuple(1e-4 * 1.05**step for step in range(275))
"""Where buckets end: from 0.1 ms to over a minute, 5 % apart. A bucket holds what is above the edge before."""


@dataclass(frozen=True, slots=True)
class HedgeParams:
    """When a copy is sent, and how many. Raises ValueError with the name of the field that is out of range."""

    percentile: float = 95.0
    """Of a hundred first attempts, how many are answered before a copy would be sent."""
    max_extra: float = 0.05
    """Copies for each request, over ``BUDGET_TTL``."""
    min_delay: float = 0.001
    """Seconds; no copy goes out sooner."""

    def __post_init__(self) -> None:
        if not 0.0 < self.percentile < 100.0:
            raise ValueError(f"percentile must be between 0 and 100, not {self.percentile}")
        if not 0.0 < self.max_extra <= 1.0:
            raise ValueError(f"max_extra must be above 0 and at most 1, not {self.max_extra}")
        if not 0.0 <= self.min_delay < inf:
            raise ValueError(f"min_delay must be at least 0 and finite, not {self.min_delay}")


def make_hedge_budget(params: HedgeParams) -> RetryBudget:
    """Return an empty budget. It has no reserve: what a quiet service may send twice would be more than its part."""
    return RetryBudget(BUDGET_TTL, 0, params.max_extra)


class HedgeDelay:
    """How long to wait for the answer of one set of endpoints before a copy is sent.

    A histogram of the last seconds, in two halves. A half is closed when it is old and full enough, so a service
    with few requests is judged by older ones rather than by few. All times are in seconds.
    """

    __slots__ = ("_before", "_close_at", "_counts", "_delay", "_due", "_enough", "_fraction", "_least", "_seen")

    def __init__(self, params: HedgeParams) -> None:
        self._fraction = params.percentile / 100
        self._least = params.min_delay
        self._enough = max(ENOUGH, round(100 / (100 - params.percentile)))
        self._before = _empty()
        self._counts = _empty()
        self._seen = 0
        self._close_at = -inf
        self._due = -inf
        self._delay = inf

    def answered(self, elapsed: float, now: float) -> None:
        """Learn from a first attempt that was answered well after *elapsed*."""
        if now >= self._close_at:
            self._close(now)
        self._counts[bisect_left(EDGES, elapsed)] += 1
        self._seen += 1

    def given_up(self, elapsed: float, now: float) -> None:
        """Learn from a first attempt that ended otherwise: that it would have taken longer than *elapsed*.

        That says something only when it is beyond the delay: on which side of it the attempt was.
        """
        if elapsed > self._delay:
            self.answered(elapsed, now)

    def delay(self, now: float) -> float:
        """Return for how long to wait; infinity while too little is known. Never less than the true percentile."""
        if now >= self._due:
            self._due = now + REFRESH
            self._delay = max(self._least, self._percentile())
        return self._delay

    def _close(self, now: float) -> None:
        if self._seen >= self._enough:
            self._before = self._counts
            self._counts = _empty()
            self._seen = 0
        if not self._seen:
            self._close_at = now + HALF

    def _percentile(self) -> float:
        """The upper edge of the bucket with the percentile; infinity when that is open, or too few were seen."""
        counts = list(accumulate(map(sum, zip(self._before, self._counts, strict=True))))
        if counts[-1] < self._enough:
            return inf
        at = bisect_left(counts, self._fraction * counts[-1])
        return EDGES[at] if at < len(EDGES) else inf


def _empty() -> "array[int]":
    """Counts of nothing, for each bucket and for what is beyond the last one."""
    return array("L", [0]) * (len(EDGES) + 1)
