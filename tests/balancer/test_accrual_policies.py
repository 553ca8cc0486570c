"""When an endpoint has failed too often."""

from random import Random

import pytest

from balancer.accrual import AccrualPolicy, Health
from balancer.accrual_policies import ConsecutiveFailures, NeverFails, SuccessRate, SuccessRateWindowed
from balancer.backoff import ConstantBackoff
from balancer.params import AccrualParams
from balancer.response_class import ResponseClass
from tests.balancer.farm import Farm, Server, balancer, steady


def trips_at(policy: AccrualPolicy, outcomes: list[tuple[float, bool]]) -> float | None:
    """Return when *policy* first takes the endpoint for dead."""
    for now, success in outcomes:
        if success:
            policy.success(now)
        elif policy.failure(now):
            return now
    return None


def test_none_never_trips() -> None:
    policy = NeverFails()
    assert trips_at(policy, [(now, False) for now in range(1000)]) is None
    policy.success(0)
    policy.revived()


def test_consecutive_failures_trips_at_the_nth() -> None:
    assert trips_at(ConsecutiveFailures(5), [(now, False) for now in range(1, 10)]) == 5


def test_success_rate_waits_for_its_requests() -> None:
    assert trips_at(SuccessRate(0.9, 20), [(now, False) for now in range(1, 100)]) == 20


@pytest.mark.parametrize(
    ("failing", "trips"),
    [
        pytest.param(2, True, id="half fail"),
        pytest.param(3, True, id="a third fails"),
        pytest.param(100, False, id="one in a hundred fails"),
    ],
)
def test_success_rate_tells_bad_from_good(failing: int, trips: bool) -> None:
    outcomes = [(float(number), number % failing != 0) for number in range(1, 500)]
    assert (trips_at(SuccessRate(0.8, 50), outcomes) is not None) is trips


def test_success_rate_weighs_by_number_of_requests() -> None:
    """After 10 successes each failure keeps e^(-1/10) of the rate: 0.905, 0.819, 0.741, 0.670."""
    outcomes = [(0.0, True)] * 10 + [(float(failure), False) for failure in range(1, 10)]
    assert trips_at(SuccessRate(0.7, 10), outcomes) == 4


@pytest.mark.parametrize(
    ("every", "trips"),
    [
        pytest.param(1.0, 10.0, id="after a window"),
        pytest.param(0.1, 10.0, id="however many before"),
        pytest.param(3.0, None, id="never on fewer than five in the window"),
    ],
)
def test_windowed_success_rate_waits_for_window_and_requests(every: float, trips: float | None) -> None:
    outcomes = [(round(number * every, 6), False) for number in range(200)]
    assert trips_at(SuccessRateWindowed(0.8, 10.0), outcomes) == trips


def test_windowed_success_rate_weighs_by_time() -> None:
    """Good for 20 s, then nothing but failures: the rate is e^(-t/10), below 0.8 after 2.23 s."""
    outcomes = [(tenth / 10, tenth <= 200) for tenth in range(400)]
    assert trips_at(SuccessRateWindowed(0.8, 10.0), outcomes) == pytest.approx(22.3)


@pytest.mark.parametrize("policy", [SuccessRate(0.8, 5), SuccessRateWindowed(0.8, 1.0)], ids=["number", "time"])
def test_a_revival_starts_without_history(policy: AccrualPolicy) -> None:
    outcomes = [(now / 10, False) for now in range(20)]
    assert trips_at(policy, outcomes) is not None
    policy.revived()
    assert not policy.failure(2.0)


def test_in_a_pool_the_one_that_fails_often_is_ejected_within_two_windows_and_the_one_with_a_stray_error_never() -> (
    None
):
    coin = Random(5)

    def failing(part: float) -> Server:
        return lambda _: (0.010, ResponseClass.FAILURE if coin.random() < part else ResponseClass.SUCCESS)

    accrual = AccrualParams("successRateWindowed", success_rate=0.8, window=10.0, backoff=ConstantBackoff(1000.0))
    pool = balancer(5, "roundRobin", accrual, max_ejected=0.5)
    farm = Farm(pool, {0: failing(0.4), 1: failing(0.01)} | {port: steady(0.010) for port in (2, 3, 4)})
    farm.run(rate=100, seconds=20.0)
    assert [each.accrual.health for each in pool.nodes] == [Health.DEAD] + [Health.ALIVE] * 4
    farm.run(rate=100, seconds=280.0)
    assert pool.statistics().ejections == 1
