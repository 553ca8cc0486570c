"""Who of the endpoints gets traffic: when all are dead, and when one asks to be left alone. See test_priority too."""

from random import Random

import pytest

from balancer.params import BalancerParams, make_balancer
from balancer.rotation import AllDead
from tests.balancer.farm import balancer, endpoints
from tests.balancer.test_balancer import FRAGILE, kill, picks, send


@pytest.mark.parametrize(
    ("policy", "ports"),
    [("tryAll", {0, 1, 2}), ("lastGood", {1}), ("failFast", set())],
)
def test_who_gets_the_traffic_when_all_are_dead(policy: AllDead, ports: set[int]) -> None:
    pool = make_balancer(BalancerParams("roundRobin", all_dead=policy, max_ejected=1.0), FRAGILE, Random(1))
    pool.update(endpoints(3), 0.0)
    for at, port in enumerate((0, 2, 1)):
        kill(pool, port, now=float(at))
    found = {chosen.endpoint.port for _ in range(9) if (chosen := pool.pick(3.0)) is not None}
    assert (found, pool.statistics().all_dead) == (ports, True)
    chosen = pool.pick(3.0, avoid=pool.nodes)
    assert (chosen is None) == (policy == "failFast")
    probe = pool.pick(10.0)
    assert probe is not None, "but for the probe"
    assert probe.endpoint.port == 0


def test_failing_fast_is_failing_whatever_the_cap_on_ejections() -> None:
    pool = make_balancer(BalancerParams("roundRobin", all_dead="failFast"), FRAGILE, Random(1))
    pool.update(endpoints(2), 0.0)
    kill(pool, 0, 1)
    assert pool.pick(1.0) is None


def test_an_endpoint_that_asks_for_it_is_left_alone() -> None:
    pool = balancer(3, "roundRobin", max_ejected=0.5)
    first = pool.nodes[0]
    pool.leave_alone(first, 2.0, 0.0)
    assert set(picks(pool, 9, 1.9)) == {1, 2}
    probe = pool.pick(2.0)
    assert probe is first
    send(pool, first, 2.0)
    assert set(picks(pool, 9, 20.0)) == {0, 1, 2}
    assert (pool.statistics().asked, pool.statistics().ejections) == (1, 0)


def test_of_two_that_ask_for_it_one_goes_on() -> None:
    pool = balancer(2, "roundRobin", max_ejected=0.5)
    for each in pool.nodes:
        pool.leave_alone(each, 2.0, 0.0)
    assert set(picks(pool, 9, 1.0)) == {0, 1}, "none is alive, so both are tried"
    assert pool.statistics().dead == 1
