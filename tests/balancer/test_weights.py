"""Weight classes."""

from collections import Counter
from random import Random

import pytest

from balancer.round_robin import RoundRobin
from balancer.weights import WeightClasses
from tests.balancer.farm import node


def classes(*weights: float) -> WeightClasses:
    """Return classes over nodes with these weights."""
    made = WeightClasses(RoundRobin, Random(1))
    made.rebuild([node(port, weight=weight) for port, weight in enumerate(weights)])
    return made


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        pytest.param((1, 4), (0.2, 0.8), id="one to four"),
        pytest.param((1, 1, 2), (0.25, 0.25, 0.5), id="two of one class"),
        pytest.param((0, 1, 1), (0, 0.5, 0.5), id="zero takes none"),
        pytest.param((1, 0), (1, 0), id="zero takes none, last"),
        pytest.param((0, 0), (0.5, 0.5), id="unless there is nothing else"),
        pytest.param((0.5, 1.5), (0.25, 0.75), id="fractions"),
    ],
)
def test_traffic_follows_weight(weights: tuple[float, ...], shares: tuple[float, ...]) -> None:
    picker = classes(*weights)
    served = Counter(picker.pick(0.0).endpoint.port for _ in range(20_000))
    for port, share in enumerate(shares):
        assert served[port] / 20_000 == pytest.approx(share, abs=0.01)


def test_one_weight_needs_no_draw() -> None:
    assert classes(2, 2, 2).only() is not None
    assert classes(1, 2).only() is None


def test_a_class_keeps_its_picker_when_others_come_and_go() -> None:
    picker = classes(3, 3)
    only = picker.only()
    picker.rebuild([node(0, weight=3), node(1, weight=1)])
    picker.rebuild([node(0, weight=3)])
    assert picker.only() is only
