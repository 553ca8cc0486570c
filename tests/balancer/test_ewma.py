"""Peak EWMA: finagle's arithmetic, and where we differ."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.ewma import FLOOR, UNPROVEN, PeakEwma
from balancer.response_class import ResponseClass
from tests.balancer.farm import Farm, Server, balancer, steady

FAILURE = ResponseClass.FAILURE
SUCCESS = ResponseClass.SUCCESS
GIVEN_UP = ResponseClass.GIVEN_UP


@pytest.fixture
def metric() -> PeakEwma:
    """An endpoint that answered in 100 ms at 0 s."""
    made = PeakEwma(decay=10.0)
    ended(made, 0.100, 0.0)
    return made


def ended(metric: PeakEwma, elapsed: float, now: float, outcome: ResponseClass = SUCCESS) -> None:
    """Let a request end at *now* that began *elapsed* seconds before."""
    started = now - elapsed
    metric.begun(started)
    match outcome:
        case ResponseClass.SUCCESS:
            metric.succeeded(started, now)
        case ResponseClass.FAILURE:
            metric.failed(started, now)
        case _:
            metric.given_up(started, now)


@pytest.mark.parametrize(
    ("pending", "at", "load"),
    [
        pytest.param(0, 0.0, 0.100, id="idle"),
        pytest.param(1, 0.0, 0.200, id="one in flight counts double"),
        pytest.param(0, 1.0, 0.09048, id="fades"),
        pytest.param(0, 6.931, 0.0500, id="half after 0.69 decay"),
        pytest.param(0, 10.0, 0.03679, id="one part in e after one decay"),
    ],
)
def test_load_is_the_faded_cost_of_the_requests_before_me(
    metric: PeakEwma, pending: int, at: float, load: float
) -> None:
    assert metric.load(pending, at) == pytest.approx(load, rel=1e-3)


@pytest.mark.parametrize("reads", [0, 1, 100])
def test_a_lower_sample_pulls_the_cost_down_however_often_it_was_read(metric: PeakEwma, reads: int) -> None:
    for _ in range(reads):
        metric.load(0, 1.0)
    ended(metric, 0.020, 1.0)
    assert metric.load(0, 1.0) == pytest.approx(0.09239, rel=1e-3)


def test_a_higher_sample_counts_at_once(metric: PeakEwma) -> None:
    ended(metric, 2.0, 1.0)
    assert metric.load(0, 1.0) == 2.0


def test_without_history_one_request_is_welcome_and_a_second_is_not() -> None:
    metric = PeakEwma(decay=10.0)
    assert metric.load(0, 5.0) == 0.0
    metric.begun(5.0)
    assert metric.load(1, 5.0) == UNPROVEN + 1
    assert metric.load(2, 5.0) > metric.load(1, 5.0)


def test_a_first_request_that_is_meant_to_last_does_not_keep_others_away_for_ever() -> None:
    metric = PeakEwma(decay=10.0)
    metric.begun(0.0)
    assert metric.load(1, 0.99) > 1000
    assert metric.load(1, 3.0) == 2 * 3.0


@pytest.mark.parametrize(
    ("began", "at", "load"),
    [
        pytest.param([0.0], 0.05, 2 * 0.0995, id="a young request costs what requests cost"),
        pytest.param([0.0], 0.3, 2 * 0.3, id="an overdue one costs its age"),
        pytest.param([0.0, 0.25], 0.3, 3 * 0.3, id="the oldest counts"),
        pytest.param([0.0, 0.0], 0.3, 3 * 0.3, id="two of one moment are two"),
    ],
)
def test_a_stall_is_seen_before_anything_ends(metric: PeakEwma, began: list[float], at: float, load: float) -> None:
    for started in began:
        metric.begun(started)
    assert metric.load(len(began), at) == pytest.approx(load, rel=1e-3)


def test_what_is_answered_has_no_age(metric: PeakEwma) -> None:
    for started in (0.0, 0.0, 1.0):
        metric.begun(started)
    metric.succeeded(0.0, 0.1)
    assert metric.load(2, 2.0) == 3 * 2.0
    metric.succeeded(0.0, 0.1)
    assert metric.load(1, 2.0) == 2 * 1.0


def test_what_is_ignored_has_no_age_any_more_and_teaches_nothing(metric: PeakEwma) -> None:
    metric.begun(0.0)
    metric.ignored(0.0)
    metric.ignored(7.0)
    assert metric.load(1, 5.0) == pytest.approx(2 * 0.0607, rel=1e-2)


def test_a_failure_whose_time_was_not_counted_is_a_failure_all_the_same(metric: PeakEwma) -> None:
    metric.failed(0.0, 3.0)
    assert metric.cost == 3.0


def test_a_request_that_was_given_up_took_at_least_as_long(metric: PeakEwma) -> None:
    ended(metric, 0.05, 0.1, GIVEN_UP)
    assert metric.cost == 0.100, "less than usual says nothing"
    ended(metric, 1.0, 1.0, GIVEN_UP)
    assert metric.cost == 1.0


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        pytest.param([(0.001, 0.0, FAILURE)], FLOOR, id="the first reply is a failure"),
        pytest.param([(3.0, 0.0, FAILURE)], 3.0, id="a slow failure is as slow as it was"),
        pytest.param([(0.1, 0.0, SUCCESS), (0.001, 0.1, FAILURE)], 0.109, id="one failure moves the mean a little"),
        pytest.param([(0.1, 0.0, SUCCESS), (0.001, 10.0, FAILURE)], 0.669, id="more when there was nothing since"),
        pytest.param([(0.1, 0.0, SUCCESS), (5.0, 0.1, FAILURE)], 5.0, id="a timeout is a peak"),
        pytest.param([(5.0, 0.0, SUCCESS), (0.001, 1.0, FAILURE)], 5.0, id="does not pull a high cost down"),
    ],
)
def test_a_failure_never_looks_fast(history: list[tuple[float, float, ResponseClass]], expected: float) -> None:
    metric = PeakEwma(decay=10.0)
    for elapsed, now, outcome in history:
        ended(metric, elapsed, now, outcome)
    assert metric.cost == pytest.approx(expected, abs=1e-3)


def test_a_failure_counts_as_in_flight_for_about_a_second(metric: PeakEwma) -> None:
    ended(metric, 0.001, 0.0, FAILURE)
    assert metric.load(0, 0.0) == pytest.approx(2 * 0.100)
    assert metric.load(1, 0.0) == pytest.approx(3 * 0.100)
    assert metric.load(0, 10.0) == pytest.approx(0.03679, rel=1e-3)


@given(
    st.lists(st.tuples(st.floats(0.001, 10), st.floats(0, 30), st.booleans()), min_size=1),
    st.floats(0.001, 10),
)
def test_a_failure_never_lowers_the_cost(steps: list[tuple[float, float, bool]], elapsed: float) -> None:
    metric, now = PeakEwma(decay=10.0), 0.0
    for took, pause, failed in steps:
        now += pause
        ended(metric, took, now, FAILURE if failed else SUCCESS)
    before = metric.cost
    ended(metric, elapsed, now + 1.0, FAILURE)
    assert metric.cost >= max(before, elapsed) * (1 - 1e-9)


def test_equal_endpoints_get_equal_shares() -> None:
    farm = Farm(balancer(10), {port: steady(0.050) for port in range(10)})
    farm.run(rate=1000, seconds=10)
    for port in range(10):
        assert farm.share(port) == pytest.approx(0.1, rel=0.15)


def test_an_endpoint_ten_times_slower_gets_next_to_nothing() -> None:
    farm = Farm(balancer(10), {0: steady(0.200)} | {port: steady(0.020) for port in range(1, 10)})
    farm.run(rate=1000, seconds=20)
    assert farm.share(0) < 0.05 / 3


def test_an_endpoint_twice_as_slow_carries_half_the_concurrency() -> None:
    farm = Farm(balancer(2), {0: steady(0.200), 1: steady(0.100)})
    farm.run(rate=1000, seconds=30)
    assert farm.busy[0] / farm.busy[1] == pytest.approx(0.5, rel=0.1)


def test_an_endpoint_that_turns_slow_loses_its_share_within_a_second() -> None:
    turn = 10.0
    farm = Farm(
        balancer(10),
        {0: lambda now: (0.005 if now < turn else 0.500, SUCCESS)} | {port: steady(0.005) for port in range(1, 10)},
    )
    farm.run(rate=1000, seconds=turn)
    farm.run(rate=1000, seconds=1.0)
    farm.served.clear()
    farm.run(rate=1000, seconds=5.0)
    assert farm.share(0) < 0.2 * 0.1


@pytest.mark.parametrize("latency", [0.005, 0.020, 0.100, 0.500])
def test_an_endpoint_that_fails_fast_draws_no_traffic(latency: float) -> None:
    farm = Farm(balancer(10), {0: steady(0.001, FAILURE)} | {port: steady(latency) for port in range(1, 10)})
    farm.run(rate=1000, seconds=10)
    assert farm.share(0) < 0.1


@pytest.mark.parametrize("latency", [0.005, 0.020, 0.100, 0.500])
def test_an_endpoint_that_starts_to_fail_fast_draws_no_traffic(latency: float) -> None:
    turn = 10.0
    farm = Farm(
        balancer(10),
        {0: lambda now: (latency, SUCCESS) if now < turn else (0.001, FAILURE)}
        | {port: steady(latency) for port in range(1, 10)},
    )
    farm.run(rate=1000, seconds=turn)
    farm.served.clear()
    farm.run(rate=1000, seconds=2.0)
    assert farm.share(0) < 0.1


def test_a_few_errors_everywhere_do_not_hide_who_is_slow() -> None:
    chance = Random(3)

    def server(latency: float) -> Server:
        return lambda _: (latency, FAILURE if chance.random() < 0.01 else SUCCESS)

    farm = Farm(balancer(10), {0: server(0.200)} | {port: server(0.020) for port in range(1, 10)})
    farm.run(rate=1000, seconds=20)
    assert farm.share(0) < 0.05
