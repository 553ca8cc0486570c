"""Zone preference: how much stays at home, and where the rest goes."""

from collections import Counter
from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.backoff import ConstantBackoff
from balancer.balancer import Balancer
from balancer.node import Node
from balancer.params import AccrualParams, BalancerKind, BalancerParams, make_balancer
from balancer.response_class import ResponseClass
from balancer.round_robin import RoundRobin
from balancer.zones import ZoneParams, ZonePreference, local_share, zone_of
from namer.addr import Endpoint
from tests.balancer.farm import node

HOME = ZoneParams("a")


def members(zones: str, weights: Iterable[float] = ()) -> list[Node]:
    """Return a node for each letter of *zones*, which is its zone; `-` has none."""
    given = list(weights) or [1.0] * len(zones)
    made = [node(port) for port in range(len(zones))]
    for each, zone, weight in zip(made, zones, given, strict=True):
        meta = () if zone == "-" else (("pod", "p"), ("zone", zone))
        each.endpoint = Endpoint("10.0.0.1", each.endpoint.port, weight, meta)
    return made


def preference(nodes: list[Node], everybody: list[Node] | None) -> ZonePreference:
    made = ZonePreference(HOME, RoundRobin, Random(1))
    made.rebuild(nodes, everybody)
    return made


def shares(picker: ZonePreference, count: int = 20_000) -> dict[int, float]:
    served = Counter(picker.pick(0.0).endpoint.port for _ in range(count))
    return {port: served[port] / count for port in sorted(served)}


@pytest.mark.parametrize(
    ("usable", "whole", "elsewhere", "share"),
    [
        pytest.param(10, 10, 10, 1.0, id="all well"),
        pytest.param(8, 10, 10, 1.0, id="some dead"),
        pytest.param(7, 10, 10, 0.98, id="it begins to spill"),
        pytest.param(5, 10, 10, 0.7, id="half"),
        pytest.param(1, 10, 10, 0.14, id="nearly none"),
        pytest.param(0, 10, 10, 0.0, id="none"),
        pytest.param(0, 0, 10, 0.0, id="nobody here"),
        pytest.param(5, 10, 0, 1.0, id="nobody elsewhere"),
        pytest.param(0, 10, 0, 0.0, id="nobody at all"),
        pytest.param(5, 10, 1, 5 / 6, id="those elsewhere do no more each than those here"),
        pytest.param(1, 3, 100, 1.4 / 3, id="many elsewhere"),
    ],
)
def test_the_local_share(usable: float, whole: float, elsewhere: float, share: float) -> None:
    assert local_share(usable, whole, elsewhere, 1.4) == pytest.approx(share)


@given(
    st.lists(st.floats(0.1, 100), min_size=1, max_size=20),
    st.floats(0.1, 1000),
    st.floats(1, 10),
)
def test_the_more_is_alive_here_the_more_stays(weights: list[float], elsewhere: float, factor: float) -> None:
    whole = sum(weights)
    found = [local_share(sum(weights[:count]), whole, elsewhere, factor) for count in range(len(weights) + 1)]
    assert found == sorted(found)
    assert found[0] == 0.0
    assert found[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("zones", "dead", "expected"),
    [
        pytest.param("aab", "", {0: 0.5, 1: 0.5}, id="all stays here"),
        pytest.param("aaaab", "01", {2: 0.35, 3: 0.35, 4: 0.3}, id="half is dead: a part leaves"),
        pytest.param("aab", "01", {2: 1.0}, id="all are dead here"),
        pytest.param("bcb", "1", {0: 0.5, 2: 0.5}, id="nobody here"),
        pytest.param("aa", "1", {0: 1.0}, id="nobody elsewhere"),
        pytest.param("a-", "", {0: 1.0}, id="no zone is not here"),
        pytest.param("--", "", {0: 0.5, 1: 0.5}, id="no zones at all"),
        pytest.param("aaaabbcc", "0147", {2: 0.35, 3: 0.35, 5: 0.15, 6: 0.15}, id="what leaves goes to who is alive"),
    ],
)
def test_where_the_traffic_goes(zones: str, dead: str, expected: dict[int, float]) -> None:
    everybody = members(zones)
    alive = [each for each in everybody if str(each.endpoint.port) not in dead]
    picker = preference(alive, everybody)
    assert shares(picker) == pytest.approx(expected, abs=0.02)


def test_weights_count_on_both_sides() -> None:
    everybody = members("aaabb", [4, 2, 2, 1, 3])
    picker = preference(everybody[1:], everybody)
    assert picker.local_share == pytest.approx(0.7)
    assert shares(picker) == pytest.approx({1: 0.35, 2: 0.35, 3: 0.075, 4: 0.225}, abs=0.02)


def test_when_none_is_alive_no_zone_is_preferred() -> None:
    picker = preference(members("abbb"), None)
    assert shares(picker) == pytest.approx(dict.fromkeys(range(4), 0.25), abs=0.02)


def test_weights_of_zero_are_no_capacity() -> None:
    here, elsewhere = members("ab", [0, 1]), members("ab", [1, 0])
    assert preference(here, here).local_share == 0.0
    assert preference(elsewhere, elsewhere).local_share == 1.0
    assert shares(preference(members("ab", [0, 0]), None)) == {1: 1.0}


def test_one_side_of_one_weight_needs_no_draw() -> None:
    everybody = members("aabb")
    picker = preference(everybody, everybody)
    assert picker.only() is not None
    assert picker.only() is picker.only()
    assert preference(everybody[2:], everybody).only() is not None
    assert preference(everybody[1:], [*everybody, *members("aa")]).only() is None
    uneven = members("aab", [1, 2, 1])
    assert preference(uneven, uneven).only() is None


def test_a_side_keeps_its_picker_when_the_other_changes() -> None:
    everybody = members("aabb")
    picker = preference(everybody, everybody)
    before = picker.only()
    picker.rebuild(everybody[:3], everybody)
    assert picker.only() is before


def test_the_zone_of_an_endpoint() -> None:
    assert zone_of(members("a")[0].endpoint) == "a"
    assert zone_of(members("-")[0].endpoint) is None


@pytest.mark.parametrize("factor", [0.99, 1001.0, float("nan")])
def test_a_factor_out_of_range_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="overprovisioning"):
        ZoneParams("a", factor)


def balancer(zones: str, kind: BalancerKind = "ewma", priorities: str = "") -> Balancer:
    """Return a balancer that prefers zone `a`; an endpoint is dead after one failure, for 1000 s."""
    accrual = AccrualParams(failures=1, backoff=ConstantBackoff(1000.0))
    made = make_balancer(BalancerParams(kind=kind, zones=HOME), accrual, Random(1))
    made.update(
        [
            Endpoint("10.0.0.1", port, meta=(("zone", zone),), priority=int(priorities[port]) if priorities else 0)
            for port, zone in enumerate(zones)
        ],
        0.0,
    )
    return made


def kill(balancer: Balancer, ports: Iterable[int], now: float) -> None:
    for each in balancer.nodes:
        if each.endpoint.port in ports:
            balancer.begin(each, now)
            balancer.end(each, now, now, ResponseClass.FAILURE)


def by_zone(balancer: Balancer, now: float, count: int = 4000) -> dict[str, float]:
    """Send so many requests, eight at once, and return the part of each zone."""
    served: Counter[str] = Counter()
    out: list[tuple[Node, float]] = []
    for number in range(count):
        at = now + number / 100
        chosen = balancer.pick(at)
        assert chosen is not None
        served[zone_of(chosen.endpoint) or ""] += 1
        balancer.begin(chosen, at)
        out.append((chosen, at))
        if len(out) > 8:
            balancer.end(*out.pop(0), at, ResponseClass.SUCCESS)
    for each, started in out:
        balancer.end(each, started, now + count / 100, ResponseClass.SUCCESS)
    return {zone: served[zone] / count for zone in sorted(served)}


@pytest.mark.parametrize("kind", ["ewma", "p2c", "aperture", "heap", "roundRobin", "ringHash"])
def test_the_local_zone_takes_all_until_it_is_unhealthy_and_then_spills(kind: BalancerKind) -> None:
    pool = balancer("a" * 10 + "b" * 10 + "c" * 10, kind)
    assert by_zone(pool, 0.0) == {"a": 1.0}
    kill(pool, range(2), 50.0)
    assert by_zone(pool, 50.0) == {"a": 1.0}
    kill(pool, range(2, 5), 100.0)
    assert pool.statistics().local_share == pytest.approx(0.7)
    assert by_zone(pool, 100.0) == pytest.approx({"a": 0.7, "b": 0.15, "c": 0.15}, abs=0.08)
    kill(pool, range(5, 10), 150.0)
    assert by_zone(pool, 150.0) == pytest.approx({"b": 0.5, "c": 0.5}, abs=0.2)


def test_a_zone_that_recovers_has_all_again() -> None:
    pool = balancer("aabb")
    kill(pool, [0, 1], 0.0)
    assert by_zone(pool, 1.0) == {"b": 1.0}
    for each in pool.nodes[:2]:
        pool.begin(each, 1001.0)
        pool.end(each, 1001.0, 1001.0, ResponseClass.SUCCESS)
    assert by_zone(pool, 1011.0) == {"a": 1.0}


def test_when_all_are_dead_all_get_traffic() -> None:
    pool = balancer("abbb")
    kill(pool, range(4), 0.0)
    assert set(by_zone(pool, 1.0)) == {"a", "b"}


def test_zones_are_compared_within_a_priority() -> None:
    pool = balancer("bbab", priorities="0011")
    assert by_zone(pool, 0.0) == {"b": 1.0}
    kill(pool, [0, 1], 50.0)
    assert by_zone(pool, 50.0) == {"a": 1.0}


def test_what_is_in_reserve_does_not_count_as_dead() -> None:
    pool = balancer("aabaaaaaa", priorities="000111111")
    assert by_zone(pool, 0.0) == {"a": 1.0}


def test_a_retry_leaves_the_zone_when_it_is_to_avoid_all_that_are_here() -> None:
    pool = balancer("aab")
    chosen = pool.pick(0.0, avoid=pool.nodes[:2])
    assert chosen is pool.nodes[2]


def test_without_endpoints_there_is_no_share() -> None:
    pool = balancer("ab")
    pool.update([], 1.0)
    assert pool.statistics().local_share is None
    assert pool.pick(1.0) is None
