"""Delays between tries."""

from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.backoff import Backoff, ConstantBackoff, DecorrelatedJitter, EqualJitter, ExponentialJitter


class Draws(Random):
    """Chance that always draws the same."""

    def __init__(self, draw: float) -> None:
        super().__init__()
        self.draw = draw

    def random(self) -> float:
        return self.draw


@pytest.mark.parametrize(
    ("backoff", "draw", "delays"),
    [
        pytest.param(ConstantBackoff(0.5), 0.5, [0.5, 0.5, 0.5], id="constant"),
        pytest.param(EqualJitter(5, 300), 0.0, [5, 5, 10, 20, 40, 80, 160, 300, 300], id="equal, low end"),
        pytest.param(EqualJitter(5, 300), 1.0, [5, 10, 20, 40, 80, 160, 300, 300], id="equal, high end"),
        pytest.param(DecorrelatedJitter(1, 20), 1.0, [1, 3, 9, 20, 20], id="decorrelated, high end"),
        pytest.param(DecorrelatedJitter(1, 20), 0.5, [1, 2, 4, 8, 14, 17], id="decorrelated, middle"),
        pytest.param(DecorrelatedJitter(1, 20), 0.0, [1, 1, 1], id="decorrelated, low end"),
        pytest.param(ExponentialJitter(1, 10), 1.0, [1, 2, 4, 8, 10, 10], id="exponential, high end"),
        pytest.param(ExponentialJitter(1, 10), 0.0, [0, 0, 0], id="exponential, low end"),
    ],
)
def test_the_series(backoff: Backoff, draw: float, delays: list[float]) -> None:
    assert list(islice(backoff.delays(Draws(draw)), len(delays))) == delays


@given(st.integers(0), st.floats(0, 10), st.floats(0, 1000))
def test_no_delay_leaves_the_range(seed: int, minimum: float, more: float) -> None:
    maximum = minimum + more
    backoffs: list[tuple[Backoff, float]] = [
        (DecorrelatedJitter(minimum, maximum), minimum),
        (EqualJitter(minimum, maximum), minimum),
        (ExponentialJitter(minimum, maximum), 0.0),
    ]
    for backoff, least in backoffs:
        for delay in islice(backoff.delays(Random(seed)), 50):
            assert least * (1 - 1e-9) <= delay <= maximum * (1 + 1e-9)


@given(st.integers(0))
def test_decorrelated_jitter_never_shrinks(seed: int) -> None:
    delays = list(islice(DecorrelatedJitter(0.1, 60).delays(Random(seed)), 50))
    assert delays == sorted(delays)


def test_each_series_starts_anew() -> None:
    backoff = EqualJitter(5, 300)
    assert list(islice(backoff.delays(Draws(1.0)), 3)) == list(islice(backoff.delays(Draws(1.0)), 3))


@pytest.mark.parametrize(("minimum", "maximum"), [(-1, 5), (6, 5), (0, float("inf")), (0, float("nan"))])
def test_a_range_that_is_none_is_refused(minimum: float, maximum: float) -> None:
    with pytest.raises(ValueError, match="a backoff needs 0 <= minimum <= maximum"):
        EqualJitter(minimum, maximum)
