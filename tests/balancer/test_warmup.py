"""Slow start."""

from typing import get_args

import pytest

from balancer.accrual import Health
from balancer.backoff import ConstantBackoff
from balancer.params import AccrualParams, BalancerKind
from balancer.warmup import AT_FIRST, Warmup
from tests.balancer.farm import Farm, balancer, endpoints, node, steady
from tests.balancer.test_balancer import FRAGILE, kill, picks, send

OLD, NEW, NEWER = node(0), node(1), node(2)


def warmup(seconds: float = 10.0) -> Warmup:
    return Warmup(seconds)


@pytest.mark.parametrize(
    ("at", "part"),
    [
        pytest.param(0.0, AT_FIRST, id="something at once"),
        pytest.param(0.5, AT_FIRST, id="and no less for a while"),
        pytest.param(5.0, 0.5, id="half after half the time"),
        pytest.param(10.0, 1.0, id="all at the end"),
        pytest.param(99.0, 1.0, id="and after it"),
    ],
)
def test_a_new_endpoint_comes_to_its_share_little_by_little(at: float, part: float) -> None:
    made = warmup()
    made.begin(NEW, 0.0)
    made.compare([OLD, NEW], 0.0)
    assert made.part(OLD, at) == 1.0
    assert made.part(NEW, at) == pytest.approx(part)


def test_when_all_are_new_they_compare_with_the_first_of_them() -> None:
    made = warmup()
    made.begin(NEW, 0.0)
    made.begin(NEWER, 2.0)
    made.compare([NEW, NEWER], 4.0)
    assert made.part(NEW, 4.0) == 1.0
    assert made.part(NEWER, 4.0) == pytest.approx(0.2 / 0.4)


def test_one_that_gets_no_traffic_is_nobodys_measure() -> None:
    made = warmup()
    made.begin(OLD, 0.0)
    made.begin(NEW, 4.0)
    made.begin(NEWER, 4.0)
    made.compare([NEW, NEWER], 4.5)
    assert (made.part(NEW, 4.5), made.part(NEWER, 4.5)) == (1.0, 1.0)


def test_when_all_that_were_old_are_gone_the_new_ones_take_everything() -> None:
    made = warmup()
    made.begin(NEW, 0.0)
    made.compare([OLD, NEW], 0.0)
    made.compare([NEW], 1.0)
    assert made.part(NEW, 1.0) == 1.0


def test_it_is_over_at_the_end_and_when_it_is_off_it_never_begins() -> None:
    made, off = warmup(), warmup(0.0)
    made.begin(NEW, 3.0)
    off.begin(NEW, 3.0)
    off.compare([OLD, NEW], 3.0)
    assert (made.ends_at, off.ends_at < 0, off.part(NEW, 3.0)) == (13.0, True, 1.0)


def test_endpoints_that_are_there_from_the_beginning_are_not_new() -> None:
    assert set(picks(balancer(4, "roundRobin"), 40, 0.0).values()) == {10}


@pytest.mark.parametrize("kind", get_args(BalancerKind))
def test_an_endpoint_that_joins_ramps_up_whatever_the_kind(kind: BalancerKind) -> None:
    pool = balancer(3, kind)
    farm = Farm(pool, {port: steady(0.010) for port in range(4)})
    farm.run(rate=400, seconds=5.0)
    pool.update(endpoints(4), 5.0)
    shares = []
    for _ in range(3):
        farm.served.clear()
        farm.run(rate=400, seconds=5.0)
        shares.append(farm.share(3))
    first, second, whole = shares
    # aperture looks at as few as the load needs: whether the newcomer is among them is a matter of its rank
    assert kind == "aperture" or (first < 0.6 * 0.25 and first < second < 0.95 * whole)
    assert kind == "aperture" or whole == pytest.approx(0.25, rel=0.25)


def test_an_endpoint_that_is_alive_again_ramps_up_too() -> None:
    pool = balancer(2, "roundRobin", AccrualParams(failures=1, backoff=ConstantBackoff(1.0)))
    kill(pool, 0)
    send(pool, pool.nodes[0], 1.0)
    assert pool.nodes[0].accrual.health is Health.ALIVE
    assert picks(pool, 100, 1.0)[0] < 40
    assert picks(pool, 100, 11.0)[0] == 50


def test_the_only_one_takes_everything_new_or_not() -> None:
    pool = balancer(1, "roundRobin", FRAGILE)
    pool.update(endpoints(2)[1:], 1.0)
    assert picks(pool, 20, 1.0) == {1: 20}
