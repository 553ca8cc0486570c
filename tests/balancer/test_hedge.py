"""When a second copy goes out: the percentile that is learnt, and the budget."""

from math import inf, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.hedge import EDGES, HedgeDelay, HedgeParams, make_hedge_budget

latencies = st.lists(st.floats(1e-3, 10.0), min_size=100, max_size=130)


def learnt(*elapsed: float, percentile: float = 95.0, min_delay: float = 0.001) -> HedgeDelay:
    """Return what was learnt from these at 0 s."""
    made = HedgeDelay(HedgeParams(percentile, min_delay=min_delay))
    for each in elapsed:
        made.answered(each, 0.0)
    return made


def test_nothing_is_known_before_a_hundred_answers() -> None:
    assert learnt().delay(1.0) == inf
    assert learnt(*[0.010] * 99).delay(1.0) == inf
    assert learnt(*[0.010] * 100).delay(1.0) == pytest.approx(0.010, rel=0.05)


def test_a_high_percentile_needs_as_many_as_leave_one_beyond_it() -> None:
    assert learnt(*[0.010] * 900, percentile=99.9).delay(1.0) == inf
    assert learnt(*[0.010] * 1000, percentile=99.9).delay(1.0) < inf


@given(latencies, st.sampled_from([50.0, 90.0, 95.0, 99.0]))
def test_the_delay_is_never_below_the_true_percentile_and_at_most_a_bucket_above(
    elapsed: list[float], percentile: float
) -> None:
    delay = learnt(*elapsed, percentile=percentile).delay(1.0)
    answered = sum(each <= delay for each in elapsed)
    assert answered >= percentile / 100 * len(elapsed)
    assert sum(each <= delay / 1.0501 for each in elapsed) < percentile / 100 * len(elapsed)


def test_no_copy_goes_out_sooner_than_the_least_delay() -> None:
    assert learnt(*[0.0002] * 100, min_delay=0.005).delay(1.0) == 0.005


def test_what_takes_longer_than_the_last_bucket_is_not_copied() -> None:
    assert learnt(*[EDGES[-1] * 2] * 100).delay(1.0) == inf


def test_what_was_given_up_counts_only_beyond_the_delay() -> None:
    delay = learnt(*[0.010] * 99, 0.011)
    before = delay.delay(1.0)
    for _ in range(50):
        delay.given_up(0.002, 1.0)
    assert delay.delay(2.0) == before
    for _ in range(50):
        delay.given_up(0.100, 2.0)
    assert delay.delay(3.0) == pytest.approx(0.100, rel=0.05)


def test_it_looks_at_what_was_learnt_ten_times_a_second() -> None:
    delay = learnt(*[0.010] * 100)
    assert delay.delay(1.0) < 0.011
    for _ in range(100):
        delay.answered(0.500, 1.01)
    assert delay.delay(1.05) < 0.011
    assert delay.delay(1.11) > 0.5


def test_what_is_old_is_forgotten_once_there_is_enough_that_is_new() -> None:
    delay = learnt(*[1.0] * 200)
    for second in range(10, 31):
        for _ in range(20):
            delay.answered(0.010, float(second))
    assert delay.delay(31.0) < 0.011


def test_a_quiet_service_is_judged_by_older_answers_and_not_by_few() -> None:
    delay = learnt(*[0.010] * 95, *[0.100] * 5, *[0.200] * 5)
    delay.answered(5.0, 500.0)
    delay.answered(5.0, 1000.0)
    assert delay.delay(1001.0) == pytest.approx(0.200, rel=0.05)


@pytest.mark.parametrize("percentile", [90.0, 95.0, 99.0])
def test_the_load_of_copies_does_not_run_away(percentile: float) -> None:
    """Without any budget: what lost to its copy is counted as what it at least was, so the percentile stays."""
    delay, copies = HedgeDelay(HedgeParams(percentile)), 0
    rng = Random(3)
    for number in range(60_000):
        now = number / 200
        first, second = rng.expovariate(10), rng.expovariate(10)
        after = delay.delay(now)
        if first <= after:
            delay.answered(first, now)
            continue
        copies += 1
        if first <= after + second:
            delay.answered(first, now)
        else:
            delay.given_up(after + second, now)
    assert copies / 60_000 == pytest.approx(1 - percentile / 100, rel=0.25)
    assert delay.delay(300.0) == pytest.approx(-log(1 - percentile / 100) / 10, rel=0.2)


def test_the_budget_is_a_part_of_the_requests_and_nothing_at_first() -> None:
    budget = make_hedge_budget(HedgeParams(max_extra=0.05))
    assert not budget.try_withdraw(0.0)
    for _ in range(100):
        budget.deposit(1.0)
    assert [budget.try_withdraw(1.0) for _ in range(6)] == [True] * 5 + [False]
    assert not budget.try_withdraw(12.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("percentile", 0.0),
        ("percentile", 100.0),
        ("max_extra", 0.0),
        ("max_extra", 1.1),
        ("min_delay", -0.1),
        ("min_delay", inf),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        HedgeParams(**{field: value})
