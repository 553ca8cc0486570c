"""A histogram is exact at Prometheus' bounds, within 5 % at percentiles, and forgets after a minute."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.telemetry.histogram import LATENCY, SMALL_COUNT, STEPS, Histogram
from nodeagent.telemetry.prometheus import BOUNDS

LATENCIES = st.floats(min_value=1e-5, max_value=3600.0)
FRACTIONS = (0.5, 0.9, 0.95, 0.99, 0.999, 0.9999)


def observed(*values: float) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    return histogram


def test_neighbouring_edges_differ_by_little_and_the_bounds_of_prometheus_are_among_them() -> None:
    assert all(1.0 < high / low <= 1.1025 + 1e-9 for low, high in pairwise(LATENCY.edges))
    assert set(BOUNDS) <= set(LATENCY.edges)


@given(st.lists(LATENCIES, min_size=1, max_size=200))
def test_percentiles_are_within_five_percent_of_those_of_the_sorted_values(values: list[float]) -> None:
    snapshot = observed(*values).snapshot()

    for fraction in FRACTIONS:
        exact = sorted(values)[max(1, math.ceil(fraction * len(values))) - 1]
        assert snapshot.percentile(fraction) == pytest.approx(exact, rel=0.05)


@given(st.lists(LATENCIES, min_size=1, max_size=50))
def test_a_summary_is_in_order_and_its_sum_exact(values: list[float]) -> None:
    summary = observed(*values).snapshot().summary()

    assert summary is not None
    assert summary.count == len(values)
    assert summary.sum == pytest.approx(math.fsum(values))
    assert summary.min <= summary.avg <= summary.max
    assert summary.min <= summary.p50 <= summary.p90 <= summary.p95 <= summary.p99
    assert summary.p99 <= summary.p9990 <= summary.p9999 <= summary.max


@given(st.lists(st.one_of(st.sampled_from(BOUNDS), LATENCIES), max_size=50))
def test_cumulative_counts_are_exact_at_every_bound(values: list[float]) -> None:
    counts = observed(*values).cumulative(BOUNDS)

    assert counts == [sum(value <= bound for value in values) for bound in BOUNDS]


def test_values_outside_the_scale_are_counted_at_its_ends() -> None:
    histogram = observed(0.0, 1e-9, 86400.0)

    assert histogram.count == 3
    assert histogram.cumulative((1e-5, 3600.0)) == [2, 2]
    assert histogram.snapshot().percentile(1.0) == 3600.0


def test_a_bound_that_is_no_edge_is_refused_rather_than_guessed() -> None:
    with pytest.raises(ValueError, match=r"0\.3 is not an edge"):
        observed(1.0).cumulative((0.3,))


def test_nothing_observed_has_no_summary() -> None:
    assert Histogram().snapshot().summary() is None
    assert Histogram().snapshot().percentile(0.5) == 0.0


def test_the_window_shows_the_latest_at_once_and_forgets_after_a_minute() -> None:
    histogram = observed(0.1)
    assert histogram.window().count == 1

    for _ in range(STEPS - 1):
        histogram.roll()
    assert histogram.window().count == 1

    histogram.observe(0.2)
    histogram.roll()
    assert histogram.window().count == 1
    assert histogram.window().percentile(0.5) == pytest.approx(0.2, rel=0.05)
    assert histogram.count == 2


def test_an_idle_histogram_keeps_one_mark_not_three() -> None:
    histogram = observed(0.1)
    for _ in range(STEPS + 1):
        histogram.roll()

    assert len({id(mark) for mark in histogram._marks}) == 1


@given(st.lists(LATENCIES), st.lists(LATENCIES), st.lists(LATENCIES))
def test_absorbing_is_counting_both_in_one_and_keeps_the_window(
    old: list[float], new: list[float], other: list[float]
) -> None:
    mine, theirs, both = observed(*old), observed(), observed(*old)
    for histogram in (mine, theirs, both):
        for _ in range(STEPS):
            histogram.roll()
    for value in new:
        mine.observe(value)
        both.observe(value)
    for value in other:
        theirs.observe(value)
        both.observe(value)

    mine.absorb(theirs)

    assert mine.snapshot().counts == both.snapshot().counts
    assert mine.window().counts == both.window().counts
    assert mine.sum == pytest.approx(both.sum)


def test_clearing_forgets_the_window_too() -> None:
    histogram = observed(0.1)
    histogram.roll()
    histogram.clear()

    assert (histogram.count, histogram.sum, histogram.window().count) == (0, 0.0, 0)


def test_small_counts_are_exact_and_zeros_can_be_filled_in() -> None:
    retries = Histogram(SMALL_COUNT)
    retries.observe(1)
    retries.observe(3)
    retries.observe(99)

    summary = retries.snapshot().with_zeros(10).summary()

    assert summary is not None
    assert (summary.count, summary.min, summary.p50, summary.p90, summary.p95) == (10, 0.0, 0.0, 3.0, 26.0)


def test_one_that_never_saw_a_value_reads_and_rolls_like_any_other() -> None:
    unused, cleared = Histogram(), observed(0.1)
    cleared.clear()
    for each in (unused, cleared):
        each.roll()
        each.absorb(Histogram())

    assert unused.snapshot() == cleared.snapshot() == Histogram().window()
    assert unused.cumulative(BOUNDS) == [0] * len(BOUNDS)
    assert (unused.count, unused.window().summary()) == (0, None)


def test_one_that_never_saw_a_value_absorbs_and_goes_on_apart() -> None:
    total, part = Histogram(), observed(0.1)
    total.absorb(part)
    total.observe(0.2)

    assert (total.count, part.count) == (2, 1)
