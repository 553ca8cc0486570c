"""Limits of concurrency: always within their bounds, and the one that follows latency finds what a server can do."""

from __future__ import annotations

import heapq
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.limiter import LEARN_SAMPLES, RELEARN, FixedLimit, FixedParams, GradientLimit, GradientParams, make_limit

DEFAULTS = GradientParams()


class Server:
    """Works on some requests at once and lets all share; in virtual time.

    A request that is alone takes `seconds`, give or take half. With more than `workers` each is served as much slower
    as there are too many; what takes longer than ten times `patience` is too late to be of use.
    """

    def __init__(self, params: GradientParams, workers: int, seconds: float, seed: int = 1) -> None:
        self.limit = GradientLimit(params)
        self.workers = workers
        self.seconds = seconds
        self.patience = 10 * seconds
        self.most = 0
        """The most requests that were under way."""
        self._rng = Random(seed)
        self._now = self._work = 0.0  # `_work` is what each request under way has got
        self._under_way: list[tuple[float, float]] = []  # with how much work each ends, and when it came
        self._in_time = 0

    @property
    def capacity(self) -> float:
        return self.workers / self.seconds

    def run(self, overload: float, seconds: float) -> float:
        """Let so many times the capacity arrive, at random; return the part of the capacity that was of use."""
        until, self._in_time, self.most = self._now + seconds, 0, 0
        while (arrival := self._now + self._rng.expovariate(overload * self.capacity)) < until:
            self._serve(arrival)
            if len(self._under_way) < self.limit.value:
                heapq.heappush(self._under_way, (self._work + self._rng.uniform(0.5, 1.5), arrival))
                self.most = max(self.most, len(self._under_way))
        self._serve(until)
        return self._in_time / seconds / self.capacity

    def _serve(self, until: float) -> None:
        while self._under_way:
            speed = min(1.0, self.workers / len(self._under_way)) / self.seconds
            ends = self._now + (self._under_way[0][0] - self._work) / speed
            if ends > until:
                self._work += (until - self._now) * speed
                break
            self._work, came = heapq.heappop(self._under_way)
            self._now = ends
            self.limit.sample(ends - came, len(self._under_way) + 1, ends)
            self._in_time += ends - came <= self.patience
        self._now = until


@pytest.mark.parametrize(
    ("workers", "seconds", "finds_out"),
    [
        pytest.param(20, 0.01, 5, id="20 workers, 10 ms"),
        pytest.param(20, 0.1, 10, id="20 workers, 100 ms"),
        pytest.param(100, 0.1, 10, id="100 workers, 100 ms"),
        pytest.param(4, 0.05, 40, id="4 workers, overloaded by the first limit already"),
    ],
)
def test_three_times_the_load_leaves_more_than_nine_tenths_of_the_capacity(
    workers: int, seconds: float, finds_out: float
) -> None:
    server = Server(DEFAULTS, workers, seconds)
    server.run(3, finds_out)

    assert server.run(3, 12) > 0.9
    assert server.most < 3 * workers + DEFAULTS.min_limit  # and nobody waits long behind others


def test_without_a_limit_the_same_load_leaves_nothing() -> None:
    """What the limit is for: all are served, and all too late."""
    server = Server(GradientParams(100_000, 100_000, 100_000), 20, 0.1)
    server.run(3, 10)

    assert server.run(3, 10) == 0


def test_the_limit_shrinks_as_latency_grows_and_comes_back_with_it() -> None:
    server = Server(DEFAULTS, 40, 0.05)
    server.run(3, 15)
    before = server.limit.value

    server.workers = 10  # a quarter of the server is left: the same requests wait four times as long
    server.run(3, 5)
    short = server.limit.value
    useful = server.run(3, 15)
    server.workers = 40
    server.run(3, 20)

    assert short < before / 2
    assert useful > 0.9
    assert server.run(3, 10) > 0.9
    assert server.limit.value > 0.8 * before


def test_a_server_that_has_become_slower_but_no_less_able_keeps_its_traffic() -> None:
    server = Server(DEFAULTS, 40, 0.05)
    server.run(3, 15)
    server.seconds, server.patience = 0.2, 2.0

    server.run(3, 10)  # the latency is four times the floor, with no queue: the floor was wrong
    useful = server.run(3, 20)

    assert useful > 0.9
    assert server.limit.floor == pytest.approx(0.2, rel=0.4)


def test_the_floor_does_not_creep_up_under_lasting_overload() -> None:
    server = Server(DEFAULTS, 20, 0.05)
    server.run(3, 15)
    limits, floors = [], []
    for _ in range(12):
        server.run(3, RELEARN)
        limits.append(server.limit.value)
        floors.append(server.limit.floor or 0.0)

    assert max(limits) < 3 * 20
    assert max(floors) < 1.5 * 0.05


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    server = Server(DEFAULTS, 100, 0.05)
    server.run(0.02, 60)  # 2 under way

    assert server.limit.value == DEFAULTS.initial_limit


def test_a_limit_that_is_used_grows_to_what_is_needed() -> None:
    server = Server(DEFAULTS, 100, 0.05)
    server.run(0.8, 20)  # 80 under way, at times 110; so it is used up to twice as many

    assert 80 < server.limit.value < 250


def test_the_floor_is_learnt_from_the_first_requests() -> None:
    limit = GradientLimit(DEFAULTS)
    assert limit.floor is None
    for sample in range(LEARN_SAMPLES):
        limit.sample(0.02, 10, sample / 100)

    assert limit.floor == pytest.approx(0.02)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 5000), st.floats(0, 5)), max_size=300),
    st.integers(1, 50),
    st.integers(0, 50),
    st.integers(0, 500),
)
def test_the_limit_stays_within_its_bounds(
    samples: list[tuple[float, int, float]], low: int, more: int, most: int
) -> None:
    limit = GradientLimit(GradientParams(low, low + more + most, low + more))
    now = 0.0
    for latency, in_flight, pause in samples:
        now += pause
        limit.sample(latency, in_flight, now)
        assert low <= limit.value <= low + more + most


def test_a_fixed_limit_stays() -> None:
    limit = make_limit(FixedParams(7))
    limit.sample(99.0, 7, 1.0)

    assert isinstance(limit, FixedLimit)
    assert limit.value == 7
    assert isinstance(make_limit(DEFAULTS), GradientLimit)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ((0, 10, 5), "0 <= 5 <= 10"),
        ((5, 10, 4), "5 <= 4 <= 10"),
        ((5, 10, 11), "5 <= 11 <= 10"),
        ((5, 10, 5, 0.9), "tolerance"),
    ],
)
def test_what_makes_no_sense_is_refused(params: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GradientParams(*params)
