"""The balancer: who gets the next request."""

from collections import Counter
from random import Random
from typing import get_args

import pytest

from balancer.accrual import Health
from balancer.backoff import ConstantBackoff
from balancer.balancer import Balancer
from balancer.node import Node
from balancer.params import AccrualParams, BalancerKind, BalancerParams, make_balancer
from balancer.response_class import ResponseClass
from tests.balancer.farm import Farm, balancer, endpoint, endpoints, node, steady

FRAGILE = AccrualParams(failures=1, backoff=ConstantBackoff(10.0))
"""Dead at the first failure, for 10 s."""
FAILURE, SUCCESS, IGNORABLE = ResponseClass.FAILURE, ResponseClass.SUCCESS, ResponseClass.IGNORABLE
EVERY_KIND = pytest.mark.parametrize("kind", get_args(BalancerKind))


def send(balancer: Balancer, node: Node, now: float, outcome: ResponseClass = SUCCESS) -> None:
    """Let one request go to *node* and end at once."""
    balancer.begin(node, now)
    balancer.end(node, now, now, outcome)


def picks(balancer: Balancer, count: int, now: float, avoid: tuple[Node, ...] = ()) -> Counter[int]:
    """Send *count* requests one after the other and return how many went to each port."""
    served: Counter[int] = Counter()
    for _ in range(count):
        chosen = balancer.pick(now, avoid)
        assert chosen is not None
        served[chosen.endpoint.port] += 1
        send(balancer, chosen, now)
    return served


def kill(balancer: Balancer, *ports: int, now: float = 0.0) -> None:
    for each in balancer.nodes:
        if each.endpoint.port in ports:
            send(balancer, each, now, FAILURE)


@EVERY_KIND
def test_without_endpoints_there_is_nothing_to_pick(kind: BalancerKind) -> None:
    empty = balancer(0, kind)
    assert empty.pick(0.0) is None
    assert empty.pick(0.0, avoid=(node(),)) is None


@EVERY_KIND
def test_the_dead_get_nothing_while_somebody_lives(kind: BalancerKind) -> None:
    pool = balancer(4, kind, FRAGILE)
    kill(pool, 0, 1)
    assert set(picks(pool, 100, 5.0)) <= {2, 3}


@EVERY_KIND
def test_when_all_are_dead_the_traffic_flows_to_all(kind: BalancerKind) -> None:
    pool = balancer(3, kind, FRAGILE)
    kill(pool, 0, 1, 2)
    assert picks(pool, 100, 5.0).total() == 100
    assert pool.statistics().max_effort_exhausted == 100
    assert pool.statistics().dead == 3


@EVERY_KIND
def test_one_request_probes_and_its_success_revives(kind: BalancerKind) -> None:
    pool = balancer(4, kind, FRAGILE)
    kill(pool, 0)
    assert 0 not in picks(pool, 50, 9.9)
    probe = pool.pick(10.0)
    assert probe is pool.nodes[0]
    pool.begin(probe, 10.0)
    assert probe.accrual.health is Health.PROBING
    assert 0 not in picks(pool, 50, 10.5), "one probe at a time"
    pool.end(probe, 10.0, 11.0, SUCCESS)
    statistics = pool.statistics()
    assert (statistics.alive, statistics.ejections, statistics.probes, statistics.revivals) == (4, 1, 1, 1)


def test_exactly_one_probe_for_each_delay() -> None:
    pool = balancer(4, "roundRobin", FRAGILE)
    kill(pool, 0)
    for tenth in range(1, 1000):
        now = tenth / 10
        chosen = pool.pick(now)
        assert chosen is not None
        send(pool, chosen, now, FAILURE if chosen.endpoint.port == 0 else SUCCESS)
    statistics = pool.statistics()
    assert (statistics.probes, statistics.ejections, statistics.revivals) == (9, 1, 0)


def test_a_probe_that_taught_nothing_is_sent_again_at_once() -> None:
    pool = balancer(4, "ewma", FRAGILE)
    kill(pool, 0)
    for now in (10.0, 10.1, 10.2):
        probe = pool.pick(now)
        assert probe is pool.nodes[0]
        send(pool, probe, now, IGNORABLE)


def test_several_that_are_due_are_probed_one_after_the_other() -> None:
    pool = balancer(4, "ewma", FRAGILE)
    kill(pool, 0, now=0.0)
    kill(pool, 1, now=1.0)
    probed = []
    for _ in range(3):
        chosen = pool.pick(20.0)
        assert chosen is not None
        pool.begin(chosen, 20.0)
        probed.append(chosen.endpoint.port)
    assert probed[:2] == [0, 1]
    assert probed[2] in (2, 3)


def test_a_retry_is_no_probe_while_somebody_lives() -> None:
    pool = balancer(3, "ewma", FRAGILE)
    kill(pool, 0)
    assert set(picks(pool, 50, 20.0, avoid=(pool.nodes[1],))) == {2}


@EVERY_KIND
@pytest.mark.parametrize(
    ("dead", "avoided", "now", "allowed"),
    [
        pytest.param([], [0], 5.0, {1, 2}, id="not the avoided one"),
        pytest.param([], [0, 1], 5.0, {2}, id="the only one not avoided"),
        pytest.param([], [0, 1, 2], 5.0, {0, 1, 2}, id="all avoided: any"),
        pytest.param([0], [1], 5.0, {2}, id="neither dead nor avoided"),
        pytest.param([0], [1, 2], 5.0, {1, 2}, id="avoided before dead"),
        pytest.param([0], [1, 2], 10.0, {0}, id="due before avoided"),
        pytest.param([0, 1, 2], [0], 5.0, {1, 2}, id="all dead: not the avoided one"),
        pytest.param([0, 1, 2], [0, 1, 2], 5.0, {0, 1, 2}, id="all dead and avoided: any"),
    ],
)
def test_who_comes_next(kind: BalancerKind, dead: list[int], avoided: list[int], now: float, allowed: set[int]) -> None:
    for seed in range(20):
        pool = balancer(3, kind, FRAGILE, seed=seed)
        kill(pool, *dead)
        chosen = pool.pick(now, avoid=[pool.nodes[port] for port in avoided])
        assert chosen is not None
        assert chosen.endpoint.port in allowed


def test_a_retry_in_a_crowd_spreads_too() -> None:
    pool = balancer(20, "p2c")
    served = picks(pool, 2000, 0.0, avoid=(pool.nodes[0],))
    assert 0 not in served
    assert max(served.values()) < 2 * 2000 / 19


@EVERY_KIND
def test_an_endpoint_that_stays_keeps_what_is_known_of_it(kind: BalancerKind) -> None:
    pool = balancer(3, kind, FRAGILE)
    gone, kept, also_gone = pool.nodes
    pool.begin(kept, 0.0)
    kill(pool, 1)
    assert pool.update([endpoint(1, weight=4.0), endpoint(7)], 1.0) == [gone, also_gone]
    assert pool.nodes[0] is kept
    assert kept.endpoint.weight == 4.0
    assert (kept.pending, kept.accrual.health) == (1, Health.DEAD)
    pool.end(kept, 0.0, 2.0, SUCCESS)
    assert kept.pending == 0


@EVERY_KIND
def test_what_ends_on_a_removed_node_still_counts(kind: BalancerKind) -> None:
    pool = balancer(2, kind, FRAGILE)
    gone = pool.nodes[0]
    pool.begin(gone, 0.0)
    assert pool.update([endpoint(1)], 1.0) == [gone]
    pool.end(gone, 0.0, 2.0, FAILURE)
    statistics = pool.statistics()
    assert (statistics.ejections, statistics.dead, statistics.removes, statistics.adds) == (1, 0, 1, 2)
    assert set(picks(pool, 10, 3.0)) == {1}


def test_an_endpoint_that_comes_back_is_a_new_one() -> None:
    pool = balancer(2, "ewma", FRAGILE)
    kill(pool, 0)
    pool.update([endpoint(1)], 1.0)
    pool.update(endpoints(2), 2.0)
    assert pool.statistics().alive == 2


def test_an_endpoint_named_twice_is_one() -> None:
    pool = balancer(0)
    pool.update([endpoint(1), endpoint(1), endpoint(2)], 0.0)
    assert [each.endpoint.port for each in pool.nodes] == [1, 2]
    assert pool.statistics().adds == 2


def test_weights_split_the_traffic_and_dead_classes_take_none() -> None:
    pool = make_balancer(BalancerParams(), FRAGILE, Random(1))
    pool.update([endpoint(0, 1.0), endpoint(1, 4.0)], 0.0)
    served = picks(pool, 10_000, 0.0)
    assert served[1] / 10_000 == pytest.approx(0.8, abs=0.02)
    kill(pool, 1)
    assert set(picks(pool, 100, 1.0)) == {0}


def test_round_robin_skips_the_dead_in_order() -> None:
    pool = balancer(4, "roundRobin", FRAGILE)
    kill(pool, 2)
    order = []
    for _ in range(6):
        chosen = pool.pick(1.0)
        assert chosen is not None
        order.append(chosen.endpoint.port)
    assert order == [0, 1, 3, 0, 1, 3]


def test_an_ignorable_end_moves_nothing_but_pending() -> None:
    pool = balancer(1, "ewma", FRAGILE)
    only = pool.nodes[0]
    pool.begin(only, 0.0)
    pool.end(only, 0.0, 1.0, SUCCESS)
    before = only.metric.load(0, 1.0)
    pool.begin(only, 1.0)
    pool.end(only, 1.0, 1.5, IGNORABLE)
    assert (only.pending, only.metric.load(0, 1.0), only.accrual.health) == (0, before, Health.ALIVE)


def test_a_request_that_is_not_timed_teaches_health_and_no_latency() -> None:
    pool = balancer(1, accrual=FRAGILE)
    only = pool.nodes[0]
    pool.begin(only, 0.0, timed=False)
    assert only.metric.load(1, 60.0) > 1000, "its age says nothing"
    pool.end(only, 0.0, 60.0, SUCCESS, timed=False)
    assert only.metric.load(0, 60.0) == 0.0
    pool.begin(only, 60.0, timed=False)
    pool.end(only, 60.0, 61.0, FAILURE, timed=False)
    assert not pool.usable


def test_an_endpoint_that_has_left_is_not_new_when_its_probe_succeeds() -> None:
    pool = balancer(2, "roundRobin", FRAGILE)
    gone = pool.nodes[0]
    kill(pool, 0)
    pool.begin(gone, 10.0)
    pool.update(endpoints(2)[1:], 10.5)
    pool.end(gone, 10.0, 11.0, SUCCESS)
    assert pool.pick(11.0) is pool.nodes[0]
    assert pool.statistics().alive == 1


def test_a_request_that_ends_twice_is_a_bug() -> None:
    pool = balancer(1)
    send(pool, pool.nodes[0], 0.0)
    with pytest.raises(AssertionError, match="more requests ended than began"):
        pool.end(pool.nodes[0], 0.0, 0.0, SUCCESS)


def test_statistics_tell_what_stands() -> None:
    pool = balancer(3, "p2c", FRAGILE)
    pool.begin(pool.nodes[1], 0.0)
    kill(pool, 2)
    statistics = pool.statistics()
    assert [
        (each.endpoint.port, each.pending, each.load, each.health.value, each.ejections) for each in statistics.nodes
    ] == [
        (0, 0, 0, "alive", 0),
        (1, 1, 1, "alive", 0),
        (2, 0, 0, "dead", 1),
    ]
    assert (statistics.alive, statistics.dead, statistics.probing) == (2, 1, 0)


@EVERY_KIND
def test_an_endpoint_that_fails_fast_is_soon_out(kind: BalancerKind) -> None:
    pool = balancer(10, kind, AccrualParams())
    farm = Farm(pool, {0: steady(0.001, FAILURE)} | {port: steady(0.020) for port in range(1, 10)})
    farm.run(rate=1000, seconds=60)
    assert farm.served[0] <= 5 + 10 + pool.statistics().probes, "five, those in flight, and probes"
    assert 3 <= pool.statistics().probes <= 10


@EVERY_KIND
def test_an_endpoint_that_recovers_is_used_again(kind: BalancerKind) -> None:
    pool = balancer(3, kind, FRAGILE)
    farm = Farm(
        pool,
        {0: lambda now: (0.010, FAILURE if now < 5 else SUCCESS), 1: steady(0.010), 2: steady(0.010)},
    )
    farm.run(rate=300, seconds=20)
    farm.served.clear()
    farm.run(rate=300, seconds=60)
    assert pool.statistics().alive == 3
    assert farm.share(0) > 0.1
