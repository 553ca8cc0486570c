"""How many endpoints failures may take out."""

from collections.abc import Sequence

import pytest

from balancer.accrual import Health, Reason
from balancer.backoff import ConstantBackoff
from balancer.balancer import Balancer
from balancer.ejection import most_out
from balancer.params import AccrualParams
from balancer.response_class import ResponseClass
from tests.balancer.farm import Farm, balancer, endpoints, steady
from tests.balancer.test_balancer import FRAGILE, kill, picks, send

FAILURE, REFUSED = ResponseClass.FAILURE, ResponseClass.REFUSED


@pytest.mark.parametrize(
    ("count", "part", "out"),
    [
        pytest.param(1, 0.5, 1, id="one alone is told to be dead: nothing else can be done with it"),
        pytest.param(2, 0.5, 1, id="of two one"),
        pytest.param(3, 0.5, 2, id="half is rounded up"),
        pytest.param(4, 0.5, 2, id="of four two"),
        pytest.param(10, 0.1, 1, id="Envoy's default"),
        pytest.param(3, 0.99, 2, id="never the last one"),
        pytest.param(2, 0.0, 0, id="none at all"),
        pytest.param(2, 1.0, 2, id="unless told so"),
    ],
)
def test_most_out(count: int, part: float, out: int) -> None:
    assert most_out(count, part) == out


def out(pool: Balancer) -> Sequence[int]:
    return [each.endpoint.port for each in pool.statistics().nodes if each.health is not Health.ALIVE]


def test_the_last_usable_of_two_stays_whatever_it_answers() -> None:
    pool = balancer(2, accrual=FRAGILE, max_ejected=0.5)
    kill(pool, 0)
    kill(pool, 1, now=1.0)
    assert out(pool) == [0], "the one that failed first"
    assert (pool.usable, pool.statistics().all_dead) == (False, True), "who has an alternative should take it"


def test_beyond_the_cap_failures_have_no_effect_until_another_one_is_back() -> None:
    pool = balancer(4, "roundRobin", FRAGILE, max_ejected=0.5)
    for at, port in enumerate((3, 1, 0)):
        kill(pool, port, now=float(at))
    assert out(pool) == [1, 3]
    assert set(picks(pool, 12, 3.0)) == {0, 2}
    kept = pool.statistics().nodes[0]
    assert (kept.health, kept.reason) == (Health.ALIVE, Reason.FAILURES)
    send(pool, pool.nodes[3], 10.0)
    assert out(pool) == [0, 1]


def test_an_endpoint_that_is_kept_recovers_by_its_probe() -> None:
    pool = balancer(2, accrual=FRAGILE, max_ejected=0.5)
    kill(pool, 0, now=0.0)
    kill(pool, 1, now=5.0)
    send(pool, pool.nodes[1], 15.0)
    assert pool.nodes[1].accrual.health is Health.ALIVE


def test_what_refuses_is_out_whatever_the_cap_says() -> None:
    pool = balancer(4, accrual=AccrualParams(failures=2), max_ejected=0.25)
    for each in pool.nodes[:3]:
        send(pool, each, 0.0, REFUSED)
    assert out(pool) == [0, 1, 2]
    assert set(picks(pool, 10, 0.1)) == {3}


def test_what_refuses_while_it_is_kept_is_kept_no_more() -> None:
    pool = balancer(4, "roundRobin", FRAGILE, max_ejected=0.25)
    kill(pool, 0, now=0.0)
    kill(pool, 1, now=1.0)
    assert out(pool) == [0]
    send(pool, pool.nodes[1], 2.0, REFUSED)
    assert out(pool) == [1], "so the other one is needed again"
    assert set(picks(pool, 12, 3.0)) == {0, 2, 3}


def test_when_all_are_dead_those_that_take_connections_are_tried() -> None:
    pool = balancer(3, "roundRobin", FRAGILE, max_ejected=0.5)
    kill(pool, 0, 1, 2)
    send(pool, pool.nodes[2], 1.0, REFUSED)
    assert set(picks(pool, 9, 2.0)) == {0, 1}
    chosen = pool.pick(2.0, avoid=pool.nodes[2:])
    assert chosen in pool.nodes[:2]
    for each in pool.nodes[:2]:
        send(pool, each, 3.0, REFUSED)
    assert {pool.pick(4.0) for _ in range(9)} == set(pool.nodes), "and all, when none does"
    assert set(picks(pool, 9, 4.0)) == {1}, "until one is back"


def test_a_set_of_which_much_fails_is_not_drowned() -> None:
    """Nine of ten fail half of their requests; taking them all out would leave ten times the load on one."""
    accrual = AccrualParams("successRate", success_rate=0.9, requests=20, backoff=ConstantBackoff(10.0))
    pool = balancer(10, "roundRobin", accrual, max_ejected=0.5)
    coin = iter([FAILURE, ResponseClass.SUCCESS] * 100_000)
    farm = Farm(pool, {port: lambda _: (0.010, next(coin)) for port in range(9)} | {9: steady(0.010)})
    numbers = []
    for _ in range(40):
        farm.run(rate=500, seconds=0.5)
        numbers.append(len(out(pool)))
    assert max(numbers) == 5


def test_an_endpoint_that_is_gone_is_counted_no_more() -> None:
    pool = balancer(3, accrual=FRAGILE, max_ejected=0.5)
    kill(pool, 0, 1)
    assert out(pool) == [0, 1]
    pool.update(endpoints(2), 1.0)
    assert out(pool) == [0]
