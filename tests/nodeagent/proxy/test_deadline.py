"""l5d-ctx-deadline: read once, the strictest counts, nonsense says nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.proxy.deadline import parse_remaining, render

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("field", "remaining"),
    [
        pytest.param(f"{NOW} {NOW + SECOND}", 1.0, id="one second left"),
        pytest.param(f"{NOW} {NOW - SECOND}", 0.0, id="passed"),
        pytest.param(f"{NOW} {NOW + 5 * SECOND}, {NOW} {NOW + 2 * SECOND}", 2.0, id="the strictest of two"),
        pytest.param("soon", math.inf, id="nonsense"),
        pytest.param(f"soon, {NOW} {NOW + SECOND}", 1.0, id="nonsense beside sense"),
        pytest.param("", math.inf, id="empty"),
        pytest.param(f"{NOW} -1", math.inf, id="a negative number"),
        pytest.param("9" * 100 + " 1", math.inf, id="a number out of bounds"),
    ],
)
def test_what_is_left(field: str, remaining: float) -> None:
    assert parse_remaining(field.encode(), NOW) == remaining


@given(st.floats(0, 1e6))
def test_the_next_hop_reads_what_was_written(remaining: float) -> None:
    name, _, field = render(remaining, NOW).removesuffix(b"\r\n").partition(b": ")

    assert name == b"l5d-ctx-deadline"
    assert parse_remaining(field, NOW) == pytest.approx(remaining, abs=1e-6)


@given(st.binary(max_size=60))
def test_garbage_is_no_deadline_and_no_error(field: bytes) -> None:
    assert parse_remaining(field, NOW) >= 0
