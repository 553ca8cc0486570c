"""What a run comes to: success, latency, added load, and the share of the slow backend. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.load import percentile
from bench.resilience.backends import Arrivals
from bench.resilience.caller import BROKEN, TIMEOUT
from bench.resilience.load import Seen
from bench.resilience.scenario import Scenario

LATE = 0.05
"""Seconds at the 99.9th percentile beyond which a load was too late to be believed."""
FALLEN = 0.2
"""An endpoint is avoided when its share is this part of what it was."""

OUTCOMES = {TIMEOUT: "timeout", BROKEN: "broken"}


@dataclass(frozen=True, slots=True)
class Second:
    """One second of a run: latencies in ms of the requests asked in it, and how many failed."""

    number: int
    p50_ms: float
    p99_ms: float
    requests: int
    failures: int


@dataclass(frozen=True, slots=True)
class Share:
    """The part of all requests that the backend got which became slow, second by second."""

    before: float
    """In the second before."""
    after: tuple[float, ...]
    """In the seconds after."""
    fell_after_s: float | None
    """From when on a whole second's share was down by 80 %; None when that never came."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run comes to. A request that failed counts in the latencies with the time it took to fail."""

    requests: int
    success_percent: float
    rate: float
    """Requests per second of counted time; below the scenario's when workers were held up."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float
    added_percent: float
    """Requests that reached the backends beyond those that callers sent; checks are not among them."""
    slow_hits: int | None
    """Requests that the slow backend got while it was slow."""
    checks: int
    outcomes: dict[str, int]
    """How many ended with each status, with `timeout` and `broken`."""
    late_p999_ms: float
    late_max_ms: float
    load_cores: float
    """Of a core, what load and backends took together."""
    by_second: tuple[Second, ...] = field(repr=False)
    share: Share | None

    @property
    def too_late(self) -> bool:
        """Whether the load fell so far behind that the run says little."""
        return self.late_p999_ms > LATE * 1000


def figures(scenario: Scenario, seen: Seen, arrivals: Arrivals) -> Figures:
    """Sum up a run, of one counted request at least."""
    latencies, late = sorted(seen.latency), sorted(seen.late)
    succeeded = sum(_succeeded(outcome) for outcome in seen.outcome)
    requests = len(seen.outcome)
    wall = scenario.seconds + scenario.warm_up
    return Figures(
        requests=requests,
        success_percent=100 * succeeded / requests,
        rate=requests / scenario.seconds,
        p50_ms=1000 * percentile(latencies, 50),
        p95_ms=1000 * percentile(latencies, 95),
        p99_ms=1000 * percentile(latencies, 99),
        p999_ms=1000 * percentile(latencies, 99.9),
        added_percent=100 * (sum(map(len, arrivals.at)) / requests - 1),
        slow_hits=_between(arrivals.at[0], scenario.slow_from, scenario.slow_until) if scenario.slowness else None,
        checks=sum(arrivals.checks),
        outcomes={OUTCOMES.get(what, str(what)): count for what, count in sorted(Counter(seen.outcome).items())},
        late_p999_ms=1000 * percentile(late, 99.9),
        late_max_ms=1000 * late[-1],
        load_cores=(seen.cpu + arrivals.cpu) / wall,
        by_second=by_second(seen, scenario.seconds),
        share=share(arrivals.at, scenario.slow_from, scenario.slow_until) if scenario.slowness else None,
    )


def by_second(seen: Seen, seconds: float) -> tuple[Second, ...]:
    """The seconds of a run in order, each with what was asked in it; those without a request are left out."""
    buckets: list[list[tuple[float, int]]] = [[] for _ in range(int(seconds + 0.999))]
    for at, latency, outcome in zip(seen.at, seen.latency, seen.outcome, strict=True):
        buckets[min(int(at), len(buckets) - 1)].append((1000 * latency, outcome))
    return tuple(_second(number, bucket) for number, bucket in enumerate(buckets) if bucket)


def _second(number: int, bucket: Sequence[tuple[float, int]]) -> Second:
    latencies = sorted(latency for latency, _ in bucket)
    failures = sum(not _succeeded(outcome) for _, outcome in bucket)
    return Second(number, percentile(latencies, 50), percentile(latencies, 99), len(bucket), failures)


def _succeeded(outcome: int) -> bool:
    return 200 <= outcome < 300


def share(arrivals: Sequence[Sequence[float]], start: float, end: float) -> Share:
    """How the first backend's part of all requests changed at *start*, when it became slow, until *end*."""

    def at(time: float) -> float:
        everything = sum(_between(times, time, time + 1.0) for times in arrivals)
        return _between(arrivals[0], time, time + 1.0) / everything if everything else 0.0

    before = at(start - 1.0)
    after = tuple(at(start + second) for second in range(int(end - start)))
    # A whole second's share can only come below after one of its own requests has left it.
    candidates = [start, *(time + 1e-4 for time in arrivals[0] if start <= time <= end - 1.0)]
    fell = next((time - start for time in candidates if at(time) <= FALLEN * before), None)
    return Share(before, after, fell)


def _between(ordered: Sequence[float], start: float, end: float) -> int:
    return bisect_left(ordered, end) - bisect_left(ordered, start)
