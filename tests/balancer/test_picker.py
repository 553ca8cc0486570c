"""What holds for every way of choosing."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from balancer.aperture import Aperture
from balancer.heap import HeapLeastLoaded
from balancer.p2c import PowerOfChoices
from balancer.picker import Picker
from balancer.round_robin import RoundRobin
from balancer.weights import WeightClasses
from tests.balancer.farm import node

PICKERS: dict[str, Callable[[], Picker]] = {
    "p2c": lambda: PowerOfChoices(Random(1)),
    "heap": HeapLeastLoaded,
    "roundRobin": RoundRobin,
    "aperture": lambda: Aperture(Random(1), 5.0, 0.5, 2.0, minimum=3),
    "weights": lambda: WeightClasses(RoundRobin, Random(1)),
}


@pytest.fixture(params=list(PICKERS.values()), ids=list(PICKERS))
def picker(request: pytest.FixtureRequest) -> Picker:
    made: Picker = request.param()
    return made


def test_one_node_is_always_the_one(picker: Picker) -> None:
    only = node()
    picker.rebuild([only])
    assert {picker.pick(0.0) for _ in range(10)} == {only}


def test_only_nodes_of_the_last_rebuild_are_picked(picker: Picker) -> None:
    picker.rebuild([node(port) for port in range(10)])
    picker.pick(0.0)
    later = [node(port) for port in range(3)]
    picker.rebuild(later)
    assert {picker.pick(0.0) for _ in range(100)} <= set(later)


def test_every_node_gets_its_turn_when_requests_overlap(picker: Picker) -> None:
    nodes = [node(port) for port in range(3)]
    picker.rebuild(nodes)
    served: Counter[int] = Counter()
    for _ in range(300):
        chosen = picker.pick(0.0)
        served[chosen.endpoint.port] += 1
        chosen.pending += 1
        if chosen.follower is not None:
            chosen.follower.begun(chosen, 0.0)
    assert all(served[port] > 50 for port in range(3))
