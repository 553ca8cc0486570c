"""For how long an idle connection is used again."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.proxy.idlelimit import LEAST, MARGIN, MEMORY, IdleLimit, announced


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (b"timeout=5", 4.0),
        (b"timeout=5, max=100", 4.0),
        (b"max=100,Timeout = 10", 8.0),
        (b'timeout="60"', 48.0),
        (b"timeout=0", 0.0),
        (b"timeout=5; max=3", 4.0),
        (b"max=100", inf),
        (b"timeout=-1", inf),
        (b"timeout=1e9", inf),
        (b"timeout=9999999999", inf),
        (b"xtimeout=5", inf),
        (b"", inf),
    ],
)
def test_what_the_backend_announces_is_used_with_a_margin(field: bytes, seconds: float) -> None:
    assert announced(field) == seconds


@given(st.binary(max_size=100))
def test_garbage_announces_nothing_and_is_no_error(field: bytes) -> None:
    assert announced(field) >= 0


def test_the_shortest_age_that_was_seen_counts() -> None:
    learnt = IdleLimit()
    before = learnt.limit(0.0)
    limits = []
    for now, age in enumerate((20.0, 10.0, 15.0)):
        learnt.closed_at_age(age, float(now))
        limits.append(learnt.limit(float(now)))

    assert (before, limits) == (inf, [16.0, 8.0, 8.0])


def test_what_was_learnt_is_forgotten() -> None:
    learnt = IdleLimit()
    learnt.closed_at_age(5.0, 0.0)
    learnt.closed_at_age(20.0, MEMORY - 1)

    assert learnt.limit(MEMORY - 1) == 4.0
    assert learnt.limit(MEMORY) == inf
    learnt.closed_at_age(20.0, MEMORY)
    assert learnt.limit(MEMORY) == 16.0


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 100)), min_size=1))
def test_a_backend_that_closes_at_random_does_not_end_reuse(closed: list[tuple[float, float]]) -> None:
    learnt = IdleLimit()
    now = 0.0
    for age, pause in closed:
        now += pause
        learnt.closed_at_age(age, now)
        assert LEAST <= learnt.limit(now) <= max(LEAST, age * MARGIN)


@pytest.mark.parametrize(
    ("closings", "erratic"),
    [
        pytest.param([(0.5, 0.0), (0.5, 1.0), (0.5, 2.0)], True, id="early, again and again"),
        pytest.param([(0.5, 0.0), (0.2, 0.1), (0.9, 0.2), (0.1, 0.3)], False, id="a restart"),
        pytest.param([(5.0, 0.0), (5.0, 5.0), (5.0, 10.0)], False, id="a limit of its own"),
        pytest.param([(0.5, 0.0), (0.5, 1.0), (0.5, 700.0)], False, id="long ago"),
    ],
)
def test_a_backend_that_closes_early_again_and_again_is_erratic(
    closings: list[tuple[float, float]], erratic: bool
) -> None:
    learnt = IdleLimit()
    for age, now in closings:
        learnt.closed_at_age(age, now)

    assert learnt.is_erratic(closings[-1][1]) is erratic
    assert not learnt.is_erratic(closings[-1][1] + MEMORY)
