"""The experiments are those that were published."""

import msgspec
import pytest

from bench.resilience.scenario import FIRST, SCENARIOS, SECOND, SHARE, Scenario


def test_the_first_has_one_slow_backend_of_eleven_for_half_a_minute() -> None:
    assert len(FIRST.backends) == 11
    assert {backend.delay for backend in FIRST.backends} == {0.167}
    assert (FIRST.rate, FIRST.timeout, FIRST.workers) == (1000.0, 1.0, None)
    assert (FIRST.slow_from, FIRST.slow_until) == (15.0, 45.0)


def test_the_second_has_backends_from_instant_to_two_seconds() -> None:
    assert [backend.delay for backend in SECOND.backends] == [0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 2.0]
    assert [backend.success for backend in SECOND.backends] == [1.0] * 8 + [0.6, 0.4]
    assert (SECOND.rate, SECOND.workers, SECOND.keep_alive) == (500.0, 50, False)


def test_a_scenario_without_slowness_is_never_slow() -> None:
    assert SECOND.slow_from == SECOND.slow_until == float("inf")


def test_the_slowness_moves_with_the_length() -> None:
    shorter = FIRST.lasting(20.0)
    assert (shorter.slow_from, shorter.slow_until) == (5.0, 15.0)
    assert SHARE.lasting(6.0).slow_from == 3.0


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_a_quick_one_takes_seconds(scenario: Scenario) -> None:
    quick = scenario.quick()
    assert quick.seconds + quick.warm_up <= 4.0
    assert quick.slow_from == quick.slow_until or quick.slow_from >= 0.5, "something is counted before"


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_it_comes_to_another_process_as_it_was(scenario: Scenario) -> None:
    assert msgspec.json.decode(msgspec.json.encode(scenario), type=Scenario) == scenario
