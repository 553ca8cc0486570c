"""What a run comes to."""

from dataclasses import replace

import pytest

from bench.resilience.backends import Arrivals
from bench.resilience.caller import BROKEN, TIMEOUT
from bench.resilience.figures import Second, by_second, figures, share
from bench.resilience.load import Seen
from bench.resilience.scenario import Backend, Scenario, Slowness

SCENARIO = Scenario(
    name="first",
    title="a test",
    backends=(Backend(0.1),) * 2,
    rate=2.0,
    timeout=1.0,
    seconds=4.0,
    warm_up=1.0,
    slowness=Slowness(2.0, 0.25, 0.75),
)
SEEN = Seen(
    at=[0.1, 0.6, 1.2, 1.3, 3.999],
    latency=[0.1, 0.2, 1.0, 0.05, 0.1],
    outcome=[200, 204, TIMEOUT, 500, BROKEN],
    late=[0.0, 0.001, 0.002, 0.001, 0.0],
    cpu=0.5,
)
ARRIVALS = Arrivals(at=[[0.1, 1.0, 2.999, 3.0], [0.6, 1.2]], checks=[3, 4], cpu=1.0)


def test_a_run_is_summed_up() -> None:
    it = figures(SCENARIO, SEEN, ARRIVALS)

    assert (it.requests, it.success_percent, it.rate) == (5, 40.0, 1.25)
    assert (it.p50_ms, it.p95_ms, it.p999_ms) == (100.0, 1000.0, 1000.0)
    assert it.added_percent == pytest.approx(20.0)
    assert it.outcomes == {"broken": 1, "timeout": 1, "200": 1, "204": 1, "500": 1}
    assert (it.checks, it.late_max_ms) == (7, 2.0)
    assert it.load_cores == pytest.approx(0.3)


def test_the_slow_backend_got_what_came_while_it_was_slow() -> None:
    assert figures(SCENARIO, SEEN, ARRIVALS).slow_hits == 2
    steady = figures(replace(SCENARIO, slowness=None), SEEN, ARRIVALS)
    assert (steady.slow_hits, steady.share) == (None, None)


@pytest.mark.parametrize(("late", "too_late"), [(0.05, False), (0.051, True)])
def test_a_load_that_was_late_is_known(late: float, too_late: bool) -> None:
    assert figures(SCENARIO, replace(SEEN, late=[late] * 5), ARRIVALS).too_late is too_late


def test_the_seconds_of_a_run() -> None:
    assert by_second(SEEN, 4.0) == (
        Second(0, p50_ms=100.0, p99_ms=200.0, requests=2, failures=0),
        Second(1, p50_ms=50.0, p99_ms=1000.0, requests=2, failures=2),
        Second(3, p50_ms=100.0, p99_ms=100.0, requests=1, failures=1),
    )


def evenly(start: float, end: float, rate: int) -> list[float]:
    return [start + number / rate for number in range(round((end - start) * rate))]


def test_how_soon_the_share_of_a_slow_backend_falls() -> None:
    others = evenly(0.0, 10.0, 90)
    it = share([[*evenly(0.0, 5.0, 10), *evenly(5.0, 5.5, 10)], others], 5.0, 10.0)

    assert it.before == pytest.approx(0.1)
    assert it.after == pytest.approx((5 / 95, 0.0, 0.0, 0.0, 0.0))
    assert it.fell_after_s == pytest.approx(0.3, abs=0.01), "the second that begins there has two of ten"


def test_a_share_that_never_falls() -> None:
    assert share([evenly(0.0, 10.0, 10), evenly(0.0, 10.0, 90)], 5.0, 10.0).fell_after_s is None
