"""Whether a balancer has an endpoint to offer, and endpoints that refuse."""

from random import Random

import pytest

from balancer.accrual import Health, Reason
from balancer.balancer import Balancer
from balancer.params import AccrualParams, BalancerKind, BalancerParams, make_balancer
from balancer.response_class import ResponseClass
from tests.balancer.farm import Farm, balancer, down, endpoints, steady
from tests.balancer.test_balancer import EVERY_KIND, FRAGILE, kill, picks, send

FAILURE, REFUSED, SUCCESS = ResponseClass.FAILURE, ResponseClass.REFUSED, ResponseClass.SUCCESS
IGNORABLE = ResponseClass.IGNORABLE


def heard(pool: Balancer) -> list[bool]:
    """Return the list of what the owner of *pool* hears, as it hears it."""
    told: list[bool] = []
    pool.on_usable = lambda: told.append(pool.usable)
    return told


def test_usable_is_to_have_an_endpoint_that_is_alive_and_each_change_is_told_once() -> None:
    pool = make_balancer(BalancerParams(), FRAGILE, Random(1))
    told = heard(pool)
    assert not pool.usable
    pool.update(endpoints(2), 0.0)
    assert told == [True]
    kill(pool, 0)
    pool.update(endpoints(2), 1.0)
    assert told == [True], "one is left"
    kill(pool, 1, now=2.0)
    assert told == [True, False]
    send(pool, pool.nodes[0], 10.0, FAILURE)
    assert told == [True, False], "a probe that fails changes nothing"
    send(pool, pool.nodes[1], 12.0)
    assert told == [True, False, True]
    pool.update((), 13.0)
    assert told == [True, False, True, False]


def test_discovery_of_a_new_endpoint_makes_a_dead_pool_usable() -> None:
    pool = balancer(1, accrual=FRAGILE)
    kill(pool, 0)
    told = heard(pool)
    pool.update(endpoints(2), 1.0)
    assert told == [True]


def test_requests_that_change_no_health_tell_nothing() -> None:
    pool = balancer(3)
    told = heard(pool)
    picks(pool, 100, 0.0)
    assert told == []


def test_the_owner_finds_everything_in_place_when_it_is_told() -> None:
    pool = balancer(2, accrual=FRAGILE)
    seen: list[tuple[int, int]] = []
    pool.on_usable = lambda: seen.append((pool.statistics().alive, pool.statistics().ejections))
    kill(pool, 0, 1)
    assert seen == [(0, 2)]


def test_what_is_due_is_picked_for_the_probe() -> None:
    pool = balancer(2, accrual=FRAGILE)
    kill(pool, 0, now=1.0)
    kill(pool, 1, now=0.0)
    first, second = pool.nodes
    assert (pool.probe_due(9.9), pool.pick_probe(9.9)) == (False, None)
    assert (pool.probe_due(10.0), pool.pick_probe(10.0)) == (True, second)
    assert pool.pick_probe(20.0) is second, "the one that has been due the longest"
    assert pool.pick(20.0) is second
    pool.begin(second, 20.0)
    assert pool.pick_probe(20.0) is first
    assert not pool.probe_due(20.0), "who has a better choice tries one after the other"
    pool.begin(first, 20.0)
    assert (pool.probe_due(49.9), pool.pick_probe(49.9)) == (False, None), "both are being tried"
    pool.end(second, 20.0, 20.5, IGNORABLE)
    assert pool.pick_probe(20.5) is second, "nothing was learnt"


def test_the_living_are_not_probed() -> None:
    pool = balancer(2, accrual=FRAGILE)
    assert (pool.probe_due(99.0), pool.pick_probe(99.0)) == (False, None)
    assert balancer(0).pick_probe(0.0) is None


@EVERY_KIND
def test_one_refusal_sends_everything_to_the_other(kind: BalancerKind) -> None:
    pool = balancer(2, kind, AccrualParams())
    send(pool, pool.nodes[0], 0.0, REFUSED)
    assert set(picks(pool, 50, 0.9)) == {1}
    assert pool.usable


@EVERY_KIND
def test_an_endpoint_that_restarts_is_back_in_a_second_or_two(kind: BalancerKind) -> None:
    pool = balancer(2, kind, AccrualParams())
    farm = Farm(pool, {0: down(10.0, 10.8, REFUSED), 1: steady(0.010)})
    farm.run(rate=200, seconds=10.0)
    farm.served.clear()
    farm.run(rate=200, seconds=0.8)
    assert farm.served[0] == 1, "the one that found out"
    farm.run(rate=200, seconds=0.5)
    assert pool.statistics().alive == 2
    farm.run(rate=200, seconds=10.0)
    farm.served.clear()
    farm.run(rate=200, seconds=10.0)
    assert farm.share(0) > 0.4


@EVERY_KIND
def test_an_endpoint_that_is_down_for_a_minute_costs_a_few_requests(kind: BalancerKind) -> None:
    pool = balancer(2, kind, AccrualParams())
    farm = Farm(pool, {0: down(0.0, 60.0, REFUSED), 1: steady(0.010)})
    farm.run(rate=200, seconds=60.0)
    statistics = pool.statistics()
    assert farm.served[0] == 1 + statistics.probes <= 1 + 6
    assert (statistics.refusals, statistics.ejections, statistics.revivals) == (1, 0, 0)
    farm.run(rate=200, seconds=33.0)
    assert pool.statistics().alive == 2


def test_a_pool_that_refuses_is_tried_by_all_and_is_back_with_the_first_success() -> None:
    pool = balancer(3, accrual=AccrualParams())
    told = heard(pool)
    for each in pool.nodes:
        send(pool, each, 0.0, REFUSED)
    assert told == [False]
    chosen = pool.pick(0.5)
    assert chosen is not None
    send(pool, chosen, 0.5)
    assert told == [False, True]
    assert set(picks(pool, 20, 0.6)) == {chosen.endpoint.port}


def test_an_endpoint_that_drains_stays_out() -> None:
    pool = balancer(2, accrual=AccrualParams())
    draining, other = pool.nodes
    pool.begin(draining, 0.0)
    send(pool, draining, 1.0, REFUSED)
    pool.end(draining, 0.0, 1.5, SUCCESS)
    assert pool.pick(1.6) is other


def test_how_long_an_answer_streams_says_nothing_of_its_endpoint() -> None:
    pool = balancer(1)
    only = pool.nodes[0]
    pool.begin(only, 0.0)
    pool.answered(only, 0.0, 0.2, SUCCESS)
    assert only.metric.load(1, 0.2) == pytest.approx(2 * 0.2), "it is still busy with it"
    pool.release(only, 60.0)
    assert only.metric.load(0, 60.0) < 0.2


def test_without_accrual_nothing_is_avoided() -> None:
    pool = balancer(2, "roundRobin", AccrualParams(kind="none"))
    told = heard(pool)
    for each in pool.nodes:
        send(pool, each, 0.0, REFUSED)
    assert set(picks(pool, 10, 0.1)) == {0, 1}
    assert (pool.usable, told, pool.statistics().refusals) == (True, [], 0)


def test_statistics_tell_why_an_endpoint_is_out() -> None:
    pool = balancer(3, accrual=AccrualParams(failures=2))
    refusing, failing, _ = pool.nodes
    send(pool, refusing, 0.0, REFUSED)
    send(pool, failing, 0.0, FAILURE)
    send(pool, failing, 0.0, FAILURE)
    statistics = pool.statistics()
    assert [(each.health, each.reason, each.ejections) for each in statistics.nodes] == [
        (Health.DEAD, Reason.REFUSED, 0),
        (Health.DEAD, Reason.FAILURES, 1),
        (Health.ALIVE, None, 0),
    ]
    assert (statistics.ejections, statistics.refusals) == (1, 1)


def test_an_endpoint_that_has_answered_is_back_though_the_request_goes_on() -> None:
    pool = balancer(1, accrual=FRAGILE)
    kill(pool, 0)
    told = heard(pool)
    (node,) = pool.nodes
    pool.begin(node, 10.0)
    pool.answered(node, 10.0, 10.5, SUCCESS)
    assert told == [True]
    pool.release(node, 3600.0)
    assert (told, pool.statistics().revivals, node.pending) == ([True], 1, 0)


def test_an_answer_counts_once() -> None:
    pool = balancer(1, accrual=AccrualParams(failures=2))
    (node,) = pool.nodes
    pool.begin(node, 0.0)
    pool.answered(node, 0.0, 0.1, FAILURE)
    pool.release(node, 5.0)
    assert pool.usable
    send(pool, node, 6.0, FAILURE)
    assert not pool.usable
