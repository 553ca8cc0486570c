"""Requests with a key: where they go when endpoints die and come back."""

import itertools
from collections import Counter
from random import Random

import pytest

from balancer.accrual import Health
from balancer.backoff import ConstantBackoff
from balancer.balancer import Balancer
from balancer.node import Node
from balancer.params import AccrualParams, BalancerParams, make_balancer
from balancer.response_class import ResponseClass
from tests.balancer.farm import endpoint, endpoints

FRAGILE = AccrualParams(failures=1, backoff=ConstantBackoff(10.0))
"""Dead at the first failure, for 10 s."""
KEYS = [b"user-%d" % number for number in range(500)]
FAILURE, SUCCESS = ResponseClass.FAILURE, ResponseClass.SUCCESS


def balancer(priorities: str) -> Balancer:
    """Return a balancer by ring hash over an endpoint of each priority, with ports 0, 1, 2 and so on."""
    made = make_balancer(BalancerParams(kind="ringHash"), FRAGILE, Random(1))
    made.update([endpoint(port, priority=int(each)) for port, each in enumerate(priorities)], 0.0)
    return made


def send(balancer: Balancer, node: Node, now: float, outcome: ResponseClass = SUCCESS) -> None:
    balancer.begin(node, now)
    balancer.end(node, now, now, outcome)


def kill(balancer: Balancer, *ports: int, now: float = 0.0) -> None:
    for each in balancer.nodes:
        if each.endpoint.port in ports:
            send(balancer, each, now, FAILURE)


def chosen(balancer: Balancer, key: bytes, now: float, avoid: tuple[Node, ...] = ()) -> int:
    found = balancer.pick_for(key, now, avoid)
    assert found is not None
    return found.endpoint.port


def homes(balancer: Balancer, now: float) -> dict[bytes, int]:
    return {key: chosen(balancer, key, now) for key in KEYS}


def test_a_key_stays_where_it_is_whatever_the_load() -> None:
    pool = balancer("0" * 10)
    before = homes(pool, 0.0)
    for each in pool.nodes[:5]:
        for _ in range(50):
            pool.begin(each, 1.0)
    assert homes(pool, 2.0) == before
    assert len(set(before.values())) == 10


def test_requests_without_a_key_go_by_load() -> None:
    pool = balancer("00")
    for _ in range(5):
        pool.begin(pool.nodes[0], 0.0)
    assert {pool.pick(0.0) for _ in range(50)} == {pool.nodes[1]}


def test_only_the_keys_of_the_dead_move_and_they_come_back() -> None:
    pool = balancer("0" * 10)
    before = homes(pool, 0.0)
    kill(pool, 3)
    during = homes(pool, 5.0)
    assert all(during[key] == home for key, home in before.items() if home != 3)
    moved = Counter(during[key] for key, home in before.items() if home == 3)
    assert 3 not in moved
    assert len(moved) >= 5, "they are spread over the others"
    send(pool, pool.nodes[3], 20.0)
    assert homes(pool, 30.0) == before


def test_an_endpoint_that_is_back_takes_its_keys_one_after_the_other_each_once() -> None:
    pool = balancer("0" * 10)
    before = homes(pool, 0.0)
    kill(pool, 3)
    send(pool, pool.nodes[3], 20.0)
    own = {key for key, home in before.items() if home == 3}
    back: list[set[bytes]] = []
    for now in (20.0, 22.5, 25.0, 27.5, 30.0):
        at_home = homes(pool, now)
        assert all(at_home[key] == home for key, home in before.items() if home != 3)
        back.append({key for key in own if at_home[key] == 3})
    assert all(sooner <= later for sooner, later in itertools.pairwise(back))
    assert len(back[0]) < 0.3 * len(own) < len(back[2]) < 0.7 * len(own)
    assert back[-1] == own


def test_the_keys_of_an_endpoint_that_is_gone_move_and_come_back() -> None:
    pool = balancer("0" * 10)
    before = homes(pool, 0.0)
    pool.update(endpoints(10)[:9], 1.0)
    assert all(now == before[key] for key, now in homes(pool, 1.0).items() if before[key] != 9)
    pool.update(reversed(endpoints(10)), 2.0)
    assert homes(pool, 12.0) == before


def test_one_of_its_own_keys_probes_a_dead_endpoint() -> None:
    pool = balancer("0" * 10)
    before = homes(pool, 0.0)
    own = [key for key in KEYS if before[key] == 3]
    other = next(key for key in KEYS if before[key] == 4)
    kill(pool, 3)
    assert chosen(pool, other, 10.0) == 4
    assert chosen(pool, own[0], 9.9) != 3
    probe = pool.pick_for(own[0], 10.0)
    assert probe is pool.nodes[3]
    pool.begin(probe, 10.0)
    assert probe.accrual.health is Health.PROBING
    assert chosen(pool, own[1], 10.0) != 3, "one probe at a time"
    pool.end(probe, 10.0, 11.0, SUCCESS)
    assert chosen(pool, own[1], 21.0) == 3


def test_a_retry_goes_on_along_the_ring_and_is_no_probe() -> None:
    pool = balancer("0" * 5)
    for key in KEYS[:50]:
        met: tuple[Node, ...] = ()
        for _ in range(5):
            met += (pool.nodes[chosen(pool, key, 0.0, met)],)
        assert len(set(met)) == 5
        again = balancer("0" * 5)
        kill(again, met[0].endpoint.port)
        assert chosen(again, key, 0.0) == met[1].endpoint.port, "as if the first were dead"
        assert chosen(again, key, 99.0, (again.nodes[met[1].endpoint.port],)) == met[2].endpoint.port


def test_a_retry_that_is_to_avoid_all_goes_somewhere() -> None:
    pool = balancer("000")
    assert chosen(pool, b"x", 0.0, tuple(pool.nodes)) in (0, 1, 2)
    assert pool.statistics().max_effort_exhausted == 0


def test_when_all_are_dead_a_key_stays_with_its_own_but_for_probes() -> None:
    pool = balancer("0000")
    before = homes(pool, 0.0)
    kill(pool, 0, 1, 2, 3)
    assert homes(pool, 5.0) == before
    assert pool.statistics().max_effort_exhausted == len(KEYS)
    probe = pool.pick_for(KEYS[0], 10.0)
    assert probe is not None
    pool.begin(probe, 10.0)
    assert probe.accrual.health is Health.PROBING


def test_when_all_are_dead_and_the_last_good_one_gets_the_traffic_it_gets_that_of_all_keys() -> None:
    """Also where failures may take nobody out, which says who stays while others are alive."""
    pool = make_balancer(BalancerParams(kind="ringHash", max_ejected=0.0, all_dead="lastGood"), FRAGILE, Random(1))
    pool.update(endpoints(3), 0.0)
    kill(pool, 0, now=0.0)
    kill(pool, 2, now=1.0)
    kill(pool, 1, now=2.0)
    assert set(homes(pool, 3.0).values()) == {1}


def test_a_worse_priority_has_a_ring_of_its_own_and_gives_the_traffic_back() -> None:
    pool = balancer("00111")
    before = homes(pool, 0.0)
    assert set(before.values()) == {0, 1}
    kill(pool, 0)
    assert set(homes(pool, 1.0).values()) == {1}
    kill(pool, 1, now=2.0)
    assert set(homes(pool, 3.0).values()) == {2, 3, 4}
    assert chosen(pool, KEYS[0], 10.0) == 0, "any key probes one of a better priority"
    send(pool, pool.nodes[0], 10.0)
    assert set(homes(pool, 10.5).values()) == {0}


def test_a_retry_leaves_a_priority_that_has_no_other() -> None:
    pool = balancer("01")
    assert chosen(pool, b"x", 0.0, (pool.nodes[0],)) == 1


@pytest.mark.parametrize("avoid", [False, True])
def test_without_endpoints_there_is_nothing_to_pick(avoid: bool) -> None:
    gone = balancer("0").nodes[0]
    assert balancer("").pick_for(b"x", 0.0, (gone,) if avoid else ()) is None


def test_any_kind_takes_keys() -> None:
    pool = make_balancer(BalancerParams(kind="ewma"), FRAGILE, Random(1))
    pool.update(endpoints(10), 0.0)
    assert homes(pool, 0.0) == homes(balancer("0" * 10), 0.0)
