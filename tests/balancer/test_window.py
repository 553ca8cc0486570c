"""The sum over the last seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.window import WindowedSum


@pytest.mark.parametrize(
    ("at", "total"),
    [
        pytest.param(0.0, 5, id="at once"),
        pytest.param(9.9, 5, id="to the end of the tenth slice"),
        pytest.param(10.0, 0, id="a window later it is gone"),
        pytest.param(1e9, 0, id="after a long silence too"),
    ],
)
def test_an_amount_counts_for_one_window(at: float, total: int) -> None:
    window = WindowedSum(10.0)
    window.add(5, 0.0)
    assert window.total(at) == total


def test_slices_leave_one_by_one() -> None:
    window = WindowedSum(10.0)
    for second in range(10):
        window.add(1, float(second))
    assert [window.total(10.0 + second) for second in range(-1, 11)] == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]


@given(st.lists(st.tuples(st.integers(-5, 5), st.floats(0, 4)), min_size=1))
def test_it_is_the_sum_of_what_is_younger_than_its_slice(steps: list[tuple[int, float]]) -> None:
    window, now = WindowedSum(10.0), 0.0
    added: list[tuple[float, int]] = []
    for amount, pause in steps:
        now += pause
        window.add(amount, now)
        added.append((now, amount))
    surely = [amount for at, amount in added if now - at < 8.999]
    maybe = [amount for at, amount in added if 8.999 <= now - at <= 10.001]
    low = sum(surely) + sum(min(0, amount) for amount in maybe)
    high = sum(surely) + sum(max(0, amount) for amount in maybe)
    assert low <= window.total(now) <= high
