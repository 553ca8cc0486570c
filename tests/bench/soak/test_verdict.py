"""What is flat, what has leaked, and what is printed of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.soak.attribution import Ledger, Seen
from bench.soak.verdict import Finding, Sample, complaints, errors, leaks, lines, memory, second_half, slope


def sample(at: float, resident_mb: float = 50.0, descriptors: int = 10, tasks: int = 20) -> Sample:
    return Sample(at, int(resident_mb * 1e6), descriptors, tasks, 500_000, 0.001)


@given(st.floats(-5, 5), st.floats(-1000, 1000), st.integers(3, 1000))
def test_the_slope_of_a_line_is_found(rise: float, start: float, count: int) -> None:
    assert slope([(float(x), start + rise * x) for x in range(count)]) == pytest.approx(rise, abs=1e-6)


def test_a_few_outliers_do_not_move_it() -> None:
    points = [(float(x), 500.0 if x % 9 == 0 else 50.0) for x in range(100)]
    assert slope(points) == 0.0


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(1.0, 2.0), (1.0, 3.0)]], ids=["none", "one", "at one time"])
def test_without_a_pair_there_is_no_slope(points: list[tuple[float, float]]) -> None:
    assert slope(points) == 0.0


def test_the_second_half_is_one_of_time() -> None:
    samples = [sample(at) for at in (0.0, 1.0, 2.0, 3.0, 10.0)]
    assert [each.at for each in second_half(samples)] == [10.0]
    assert second_half([]) == []


@pytest.mark.parametrize(
    ("megabytes", "well"),
    [
        pytest.param([50.0 + x / 10 if x < 50 else 55.0 for x in range(100)], True, id="grows at first only"),
        pytest.param([50.0 + x / 10 for x in range(100)], False, id="grows on and on"),
        pytest.param([50.0 - x / 10 for x in range(100)], True, id="shrinks"),
        pytest.param([50.0 + (x % 2) * 20 for x in range(100)], True, id="swings"),
        pytest.param([500.0 + x / 10 for x in range(100)], True, id="one part in a hundred"),
        pytest.param([], False, id="nothing was seen"),
    ],
)
def test_memory_is_flat_or_not(megabytes: list[float], well: bool) -> None:
    assert memory([sample(float(at), mb) for at, mb in enumerate(megabytes)]).well is well


def test_what_is_not_given_back_has_leaked() -> None:
    before = sample(0.0, descriptors=12, tasks=24)
    assert all(finding.well for finding in leaks(before, sample(9.0, descriptors=11, tasks=26)))
    descriptors, tasks = leaks(before, sample(9.0, descriptors=40, tasks=24))
    assert (descriptors.well, tasks.well) == (False, True)
    assert descriptors.seen == "12 before the load, 40 after it"


def test_an_error_of_a_caller_is_none_of_the_agent_s() -> None:
    ledger = Ledger()
    ledger.note("abort in request", Seen.GONE)
    assert errors(ledger) == Finding(
        "no error was the agent's fault", "caller 1, backend 0, discovery 0, agent 0", well=True
    )
    ledger.note("upload", Seen.LATE)
    assert not errors(ledger).well


def test_a_traceback_is_a_complaint() -> None:
    assert complaints('{"event": "listening"}\n').well
    assert not complaints("Traceback (most recent call last):\n").well


def test_lines_for_people() -> None:
    assert lines([Finding("a", "1", well=True), Finding("b", "2", well=False)]) == ["well    a: 1", "FAILED  b: 2"]
