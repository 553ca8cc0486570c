"""Priorities: who gets the traffic when the better endpoints fail, and when they are back."""

from random import Random
from typing import get_args

import pytest

from balancer.accrual import Health
from balancer.balancer import Balancer
from balancer.params import AccrualParams, BalancerKind, BalancerParams, make_balancer
from balancer.response_class import ResponseClass
from tests.balancer.farm import Farm, Server, down, endpoint, steady
from tests.balancer.test_balancer import EVERY_KIND, FRAGILE, kill, picks, send

FAILURE, REFUSED, SUCCESS = ResponseClass.FAILURE, ResponseClass.REFUSED, ResponseClass.SUCCESS
PRIORITIES = {0: 0, 1: 0, 2: 1, 3: 1, 4: 7}
"""Two endpoints, two for when these fail, and one for when all else does."""


def ranked(kind: BalancerKind = "ewma", accrual: AccrualParams = FRAGILE, seed: int = 1) -> Balancer:
    """Return a balancer over the endpoints of PRIORITIES; the order of discovery is not that of priority."""
    made = make_balancer(BalancerParams(kind=kind), accrual, Random(seed))
    made.update([endpoint(port, priority=PRIORITIES[port]) for port in (4, 2, 0, 3, 1)], 0.0)
    return made


@EVERY_KIND
@pytest.mark.parametrize(
    ("dead", "serving", "priority"),
    [
        pytest.param([], {0, 1}, 0, id="the best"),
        pytest.param([0], {1}, 0, id="one that is left of the best"),
        pytest.param([2, 3], {0, 1}, 0, id="worse ones may be dead"),
        pytest.param([0, 1], {2, 3}, 1, id="the next"),
        pytest.param([0, 1, 3], {2}, 1, id="one that is left of the next"),
        pytest.param([0, 1, 2, 3], {4}, 7, id="the last"),
        pytest.param([0, 1, 2, 3, 4], {0, 1}, 0, id="none is alive: the best of the dead"),
    ],
)
def test_the_best_priority_with_a_live_endpoint_gets_everything(
    kind: BalancerKind, dead: list[int], serving: set[int], priority: int
) -> None:
    pool = ranked(kind)
    kill(pool, *dead)
    served = set(picks(pool, 50, 5.0))
    assert served <= serving if kind == "aperture" else served == serving
    assert pool.statistics().priority == priority


@EVERY_KIND
def test_a_dead_endpoint_of_a_better_priority_is_probed_and_brings_the_traffic_back(kind: BalancerKind) -> None:
    pool = ranked(kind)
    kill(pool, 0, 1)
    probe = pool.pick(10.0)
    assert probe is not None
    assert probe.endpoint.priority == 0
    pool.begin(probe, 10.0)
    other = pool.pick(10.0)
    assert other is not None
    pool.begin(other, 10.0)
    assert {probe.endpoint.port, other.endpoint.port} == {0, 1}, "both are due, each for one request"
    assert set(picks(pool, 50, 10.0)) <= {2, 3}
    pool.end(probe, 10.0, 10.1, SUCCESS)
    assert set(picks(pool, 50, 10.2)) == {probe.endpoint.port}


def test_a_dead_endpoint_of_a_worse_priority_is_left_alone_until_it_matters() -> None:
    pool = ranked()
    kill(pool, 2, 3)
    assert set(picks(pool, 50, 20.0)) == {0, 1}
    assert not pool.probe_due(20.0)
    kill(pool, 0, 1, now=20.0)
    assert pool.probe_due(20.0)
    assert set(picks(pool, 50, 20.0)) == {2, 3}, "the probes succeed, so nothing goes to the last"


def test_when_none_is_alive_whatever_is_due_is_probed() -> None:
    pool = ranked()
    kill(pool, 4, now=0.0)
    kill(pool, 0, 1, 2, 3, now=5.0)
    probe = pool.pick(10.0)
    assert probe is not None
    assert probe.endpoint.port == 4
    send(pool, probe, 10.0)
    assert set(picks(pool, 20, 10.1)) == {4}


@EVERY_KIND
@pytest.mark.parametrize(
    ("dead", "avoided", "now", "allowed"),
    [
        pytest.param([], [0], 5.0, {1}, id="the other of the best"),
        pytest.param([], [0, 1], 5.0, {2, 3}, id="the next priority"),
        pytest.param([0], [1], 5.0, {2, 3}, id="all that live of the best are avoided"),
        pytest.param([0], [1], 10.0, {2, 3}, id="a retry is no probe"),
        pytest.param([], [0, 1, 2, 3], 5.0, {4}, id="the last"),
        pytest.param([], [0, 1, 2, 3, 4], 5.0, {0, 1}, id="all are avoided: the best"),
        pytest.param([2, 3, 4], [0, 1], 5.0, {0, 1}, id="avoided before dead"),
        pytest.param([0, 1, 2, 3, 4], [0, 1], 5.0, {2, 3}, id="all are dead: the best that is not avoided"),
    ],
)
def test_where_a_retry_goes(
    kind: BalancerKind, dead: list[int], avoided: list[int], now: float, allowed: set[int]
) -> None:
    for seed in range(20):
        pool = ranked(kind, seed=seed)
        kill(pool, *dead)
        chosen = pool.pick(now, avoid=[each for each in pool.nodes if each.endpoint.port in avoided])
        assert chosen is not None
        assert chosen.endpoint.port in allowed


def test_a_retry_that_lands_on_a_worse_endpoint_that_is_due_is_its_probe() -> None:
    pool = ranked()
    kill(pool, 2, 3, 4)
    best = [each for each in pool.nodes if each.endpoint.priority == 0]
    chosen = pool.pick(10.0, best)
    assert chosen is not None
    assert chosen.endpoint.priority == 1
    pool.begin(chosen, 10.0)
    assert chosen.accrual.health is Health.PROBING
    assert pool.statistics().probes == 1


def test_weights_split_within_a_priority() -> None:
    pool = make_balancer(BalancerParams(), FRAGILE, Random(1))
    pool.update([endpoint(0, 1.0), endpoint(1, 3.0), endpoint(2, 9.0, priority=1)], 0.0)
    served = picks(pool, 10_000, 0.0)
    assert set(served) == {0, 1}
    assert served[1] / 10_000 == pytest.approx(0.75, abs=0.02)


def test_an_endpoint_whose_priority_changes_keeps_what_is_known_of_it() -> None:
    pool = make_balancer(BalancerParams(kind="roundRobin"), FRAGILE, Random(1))
    pool.update([endpoint(0), endpoint(1)], 0.0)
    first, second = pool.nodes
    pool.begin(first, 0.0)
    kill(pool, 1)
    pool.update([endpoint(0, priority=2), endpoint(1, priority=1)], 1.0)
    assert pool.nodes == [first, second]
    assert (first.pending, first.endpoint.priority) == (1, 2)
    assert second.accrual.health is Health.DEAD
    assert set(picks(pool, 10, 2.0)) == {0}, "the better one is still dead"
    pool.update([endpoint(0, priority=1), endpoint(1, priority=1)], 3.0)
    send(pool, second, 10.0)
    assert set(picks(pool, 50, 11.0)) == {0, 1}


@pytest.mark.parametrize("order", [(0, 5), (5, 0)], ids=["best first", "best last"])
def test_of_an_endpoint_named_twice_the_better_priority_counts(order: tuple[int, int]) -> None:
    pool = make_balancer(BalancerParams(), FRAGILE, Random(1))
    pool.update([endpoint(1, priority=priority) for priority in order], 0.0)
    assert [each.endpoint.priority for each in pool.statistics().nodes] == [0]


def test_without_endpoints_no_priority_serves() -> None:
    pool = ranked()
    pool.update((), 1.0)
    assert pool.statistics().priority is None


@pytest.mark.parametrize("kind", get_args(BalancerKind))
@pytest.mark.parametrize(
    ("outcome", "lost"),
    [pytest.param(REFUSED, 2, id="refuse"), pytest.param(FAILURE, 2 * 5, id="fail")],
)
def test_a_farm_fails_over_and_returns(kind: BalancerKind, outcome: ResponseClass, lost: int) -> None:
    pool = ranked(kind, AccrualParams())
    servers: dict[int, Server] = {port: down(20.0, 26.0, outcome) for port in (0, 1)}
    farm = Farm(pool, servers | {port: steady(0.010) for port in (2, 3, 4)})
    farm.run(rate=200, seconds=20.0)
    assert set(farm.served) == {0, 1}
    farm.served.clear()

    farm.run(rate=200, seconds=6.0)
    best, probes = farm.served[0] + farm.served[1], pool.statistics().probes
    assert lost <= best - probes <= lost + 4, "successes that were under way put the ejection off"
    assert 2 <= probes <= 6
    assert farm.share(2) + farm.share(3) > 0.98
    assert 4 not in farm.served

    farm.run(rate=200, seconds=10.0)
    farm.served.clear()
    farm.run(rate=200, seconds=20.0)
    assert set(farm.served) == {0, 1}
    assert min(farm.share(0), farm.share(1)) > 0.3
