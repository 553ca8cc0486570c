"""When requests are sent; how that goes over sockets is seen in test_caller and in a whole run."""

from random import Random

import pytest

from bench.resilience.load import next_turn, poisson


def test_independent_callers_ask_at_the_rate_on_the_average_and_the_same_each_time() -> None:
    times = list(poisson(1000.0, -1.0, 9.0, Random(1)))
    assert 9_700 < len(times) < 10_300
    assert times == sorted(times)
    assert times[0] >= -1.0
    assert times[-1] < 9.0
    assert times == list(poisson(1000.0, -1.0, 9.0, Random(1)))


@pytest.mark.parametrize(
    ("now", "at", "turn"),
    [
        pytest.param(5.03, 5.1, 5.1, id="a fast answer: at the next turn"),
        pytest.param(5.1, 5.1, 5.1, id="an answer just in time"),
        pytest.param(5.17, 5.17, 5.1, id="a turn was missed: at once"),
        pytest.param(5.78, 5.78, 5.7, id="several were missed: one at once, the others never"),
    ],
)
def test_a_worker_keeps_its_pace_and_does_not_catch_up(now: float, at: float, turn: float) -> None:
    assert next_turn(5.0, 0.1, now) == pytest.approx((at, turn))
