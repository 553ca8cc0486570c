"""The moving average over uneven stamps."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.ema import Ema


def test_the_first_value_is_taken_whole() -> None:
    assert Ema(5.0).update(3.0, 100.0) == 3.0


def test_a_value_one_window_old_keeps_one_part_in_e() -> None:
    ema = Ema(5.0)
    ema.update(1.0, 0.0)
    assert ema.update(0.0, 5.0) == pytest.approx(exp(-1))


def test_after_a_reset_the_next_value_is_taken_whole() -> None:
    ema = Ema(5.0)
    ema.update(1.0, 0.0)
    ema.reset()
    assert ema.value == 0.0
    assert ema.update(9.0, 0.1) == 9.0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 100)), min_size=1))
def test_it_stays_between_the_least_and_the_greatest(steps: list[tuple[float, float]]) -> None:
    ema, now = Ema(5.0), 0.0
    for value, pause in steps:
        now += pause
        ema.update(value, now)
    values = [value for value, _ in steps]
    assert min(values) - 1e-9 <= ema.value <= max(values) + 1e-9
