"""The ring: where keys go, and how few of them move."""

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.node import Node
from balancer.ring import FARTHEST, MAX_POINTS, POINTS, Ring, Rings, place_of
from tests.balancer.farm import node

KEYS = [b"user-%d" % number for number in range(5_000)]
WEIGHTS = st.dictionaries(st.integers(1, 400), st.sampled_from([0.5, 1.0, 1.0, 1.0, 2.0, 3.0]), min_size=2, max_size=12)


def ring(weights: Mapping[int, float]) -> Ring:
    """Return a ring over nodes with these weights by port."""
    return Ring([node(port, weight=weight) for port, weight in weights.items()])


def anybody(node: Node) -> bool:
    return True


def homes(made: Ring, keys: Sequence[bytes] = KEYS, dead: frozenset[int] = frozenset()) -> dict[bytes, int]:
    """Return the port that each key goes to, when nothing goes to those in *dead*."""
    found = {}
    for key in keys:
        home = made.lookup(key, lambda node: node.endpoint.port not in dead)
        assert home is not None
        found[key] = home.endpoint.port
    return found


def moved(before: Mapping[bytes, int], after: Mapping[bytes, int]) -> float:
    return sum(before[key] != after[key] for key in before) / len(before)


@pytest.mark.parametrize("gone", range(10))
def test_removing_one_of_ten_moves_its_keys_and_no_others(gone: int) -> None:
    ten = dict.fromkeys(range(10), 1.0)
    before = homes(ring(ten))
    after = homes(ring({port: weight for port, weight in ten.items() if port != gone}))
    assert all(after[key] == port for key, port in before.items() if port != gone)
    assert moved(before, after) <= 0.15


def test_adding_one_to_ten_moves_only_keys_that_it_takes() -> None:
    before = homes(ring(dict.fromkeys(range(10), 1.0)))
    after = homes(ring(dict.fromkeys(range(11), 1.0)))
    assert {after[key] for key in before if after[key] != before[key]} == {10}
    assert 0.05 <= moved(before, after) <= 0.15


@given(WEIGHTS, st.data())
def test_only_the_keys_of_the_dead_move_and_they_come_back(weights: dict[int, float], data: st.DataObject) -> None:
    made, keys = ring(weights), KEYS[:200]
    ports = sorted(weights)
    dead = frozenset(data.draw(st.lists(st.sampled_from(ports), max_size=len(ports) - 1, unique=True)))
    before, during = homes(made, keys), homes(made, keys, dead)
    for key in keys:
        assert during[key] not in dead
        assert during[key] == before[key] or before[key] in dead
    assert homes(made, keys) == before


@given(WEIGHTS, st.data())
def test_passing_by_the_dead_is_as_if_they_were_gone(weights: dict[int, float], data: st.DataObject) -> None:
    heaviest = max(weights, key=lambda port: weights[port])
    dead = data.draw(st.sampled_from(sorted(weights.keys() - {heaviest})))
    rest = {port: weight for port, weight in weights.items() if port != dead}
    assert homes(ring(weights), KEYS[:200], frozenset({dead})) == homes(ring(rest), KEYS[:200])


@given(st.permutations(range(12)))
def test_the_order_of_endpoints_does_not_matter(ports: list[int]) -> None:
    weights = {port: 1.0 + port % 3 for port in range(12)}
    shuffled = {port: weights[port] for port in ports}
    assert homes(ring(shuffled), KEYS[:200]) == homes(ring(weights), KEYS[:200])


def test_another_process_has_the_same_ring() -> None:
    text = (
        "from tests.balancer.test_ring import *; print(sorted(homes(ring({1: 1, 2: 2, 3: 0.5}), KEYS[:100]).items()))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip() == str(sorted(homes(ring({1: 1, 2: 2, 3: 0.5}), KEYS[:100]).items()))


def test_another_version_of_the_agent_has_the_same_ring() -> None:
    assert place_of(b"user-1") == 11145382709976293768
    assert list(homes(ring(dict.fromkeys(range(10), 1.0)), KEYS[:8]).values()) == [4, 6, 9, 5, 8, 8, 5, 4]


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param([1.0] * 10, id="alike"),
        pytest.param([0.7] * 10, id="alike, not 1"),
        pytest.param([1, 2, 4, 8], id="doubling"),
        pytest.param([10, 10, 1], id="a canary"),
        pytest.param([100, 99, 60, 30], id="percent"),
    ],
)
def test_shares_follow_weights(weights: list[float]) -> None:
    keys = [b"%d" % number for number in range(20_000)]
    served = Counter(homes(ring(dict(enumerate(weights))), keys).values())
    for port, weight in enumerate(weights):
        assert served[port] / len(keys) == pytest.approx(weight / sum(weights), rel=0.3)


def test_a_heavier_weight_only_draws_keys_towards_it() -> None:
    ten = dict.fromkeys(range(10), 1.0)
    before, after = homes(ring(ten)), homes(ring({**ten, 3: 1.5}))
    assert {after[key] for key in before if after[key] != before[key]} == {3}
    assert moved(before, after) == pytest.approx(1.5 / 10.5 - 0.1, abs=0.02)


def test_weight_zero_takes_none_unless_there_is_nothing_else() -> None:
    assert set(homes(ring({1: 0.0, 2: 1.0})).values()) == {2}
    assert set(homes(ring({1: 0.0, 2: 0.0})).values()) == {1, 2}


def test_a_light_endpoint_is_not_forgotten() -> None:
    made = ring({1: 1000.0, 2: 0.001})
    assert homes(made, KEYS[:1], frozenset({1})) == {KEYS[0]: 2}


@pytest.mark.parametrize("count", [1, 2, 10, 127, 128, 300, 1000, 5000])
def test_the_number_of_points_is_bounded(count: int) -> None:
    made = Ring([node(port) for port in range(count)])
    assert len(made) == pytest.approx(min(count * POINTS, MAX_POINTS), rel=0.02)


def test_many_endpoints_differ_by_few_keys() -> None:
    before = homes(Ring([node(port) for port in range(1000)]))
    after = homes(Ring([node(port) for port in range(999)]))
    assert moved(before, after) <= 0.01


def test_an_empty_ring_has_nobody() -> None:
    assert Ring([]).lookup(b"x", anybody) is None


def test_when_nobody_is_usable_each_is_asked_once() -> None:
    asked: list[Node] = []
    made = ring(dict.fromkeys(range(10), 1.0))
    assert made.lookup(b"x", asked.append) is None  # type: ignore[arg-type]
    assert len(asked) == len(set(asked)) == 10


def test_a_look_up_does_not_go_round_a_large_ring() -> None:
    asked: list[Node] = []
    assert Ring([node(port) for port in range(1000)]).lookup(b"x", asked.append) is None  # type: ignore[arg-type]
    assert len(asked) == FARTHEST


def test_retries_meet_different_nodes_in_the_order_of_the_ring() -> None:
    made = ring(dict.fromkeys(range(5), 1.0))
    for key in KEYS[:50]:
        met: list[Node] = []
        while (found := made.lookup(key, lambda node: node not in met)) is not None:  # noqa: B023
            met.append(found)
        assert len(set(met)) == 5


def test_each_priority_has_a_ring_of_its_own() -> None:
    nodes = [node(port) for port in range(4)]
    for spare in nodes[2:]:
        object.__setattr__(spare.endpoint, "priority", 1)
    rings = Rings()
    rings.rebuild(nodes)
    best = {rings.lookup(key, 0, anybody) for key in KEYS[:100]}
    assert best == set(nodes[:2])
    assert {rings.lookup(key, 1, anybody) for key in KEYS[:100]} == set(nodes[2:])
    assert rings.lookup(KEYS[0], 2, anybody) is None
    rings.rebuild(nodes[:1])
    assert {rings.lookup(key, 0, anybody) for key in KEYS[:100]} == set(nodes[:1])


def test_even_a_seeded_crowd_of_keys_is_spread() -> None:
    rng = Random(3)
    keys = [rng.randbytes(12) for _ in range(10_000)]
    served = Counter(homes(ring(dict.fromkeys(range(20), 1.0)), keys).values())
    assert max(served.values()) <= 1.35 * len(keys) / 20
