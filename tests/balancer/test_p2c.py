"""Power of two choices."""

from collections import Counter
from random import Random

import pytest

from balancer.p2c import PowerOfChoices
from tests.balancer.farm import Farm, balancer, node, steady


def picker(*pending: int, seed: int = 1) -> PowerOfChoices:
    """Return a picker over nodes with so many requests in flight."""
    made = PowerOfChoices(Random(seed))
    made.rebuild([node(port, pending=count) for port, count in enumerate(pending)])
    return made


@pytest.mark.parametrize("seed", range(20))
def test_of_two_the_less_loaded_is_always_taken(seed: int) -> None:
    assert picker(5, 4, seed=seed).pick(0.0).endpoint.port == 1


def test_the_most_loaded_of_three_is_never_taken() -> None:
    three = picker(1, 9, 1)
    assert {three.pick(0.0).endpoint.port for _ in range(100)} == {0, 2}


@pytest.mark.parametrize("count", [3, 4, 10])
def test_of_more_choices_the_least_loaded_is_taken(count: int) -> None:
    made = PowerOfChoices(Random(1), choices=count)
    made.rebuild([node(port, pending=10 - port) for port in range(count)])
    assert {made.pick(0.0).endpoint.port for _ in range(100)} == {count - 1}


@pytest.mark.parametrize(("choices", "share"), [(2, 2 / 10), (3, 3 / 10), (5, 5 / 10)])
def test_the_best_is_taken_as_often_as_it_is_drawn(choices: int, share: float) -> None:
    made = PowerOfChoices(Random(1), choices)
    made.rebuild([node(0)] + [node(port, pending=5) for port in range(1, 10)])
    found = Counter(made.pick(0.0).endpoint.port for _ in range(10_000))
    assert found[0] / 10_000 == pytest.approx(share, rel=0.05)


def test_level_nodes_are_drawn_evenly() -> None:
    level = picker(*[0] * 10)
    served = Counter(level.pick(0.0).endpoint.port for _ in range(10_000))
    assert len(served) == 10
    assert max(served.values()) < 1.2 * 1000


@pytest.mark.parametrize("kind", ["p2c", "ewma"])
def test_nobody_gets_twice_the_fair_share(kind: str) -> None:
    farm = Farm(balancer(10, kind), {port: steady(0.030) for port in range(10)})  # type: ignore[arg-type]
    farm.run(rate=1000, seconds=10)
    assert farm.served.total() > 9000
    assert max(farm.share(port) for port in range(10)) < 2 * 0.1


def test_an_endpoint_ten_times_slower_gets_less_under_load() -> None:
    farm = Farm(balancer(10, "p2c"), {0: steady(0.200)} | {port: steady(0.020) for port in range(1, 10)})
    farm.run(rate=1000, seconds=20)
    assert farm.share(0) < 0.05
