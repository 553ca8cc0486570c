"""What an exchange may hold, by the memory that is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.proxy.frugal import LEAST, PIECE, REPLAY, Frugality

MB = 1 << 20


@pytest.mark.parametrize(
    ("room", "requests", "piece", "replay"),
    [
        pytest.param(180 * MB, 0, PIECE, REPLAY, id="nobody is there"),
        pytest.param(180 * MB, 300, PIECE, REPLAY, id="enough for all"),
        pytest.param(180 * MB, 1920, 32 * 1024, 32 * 1024, id="less for each"),
        pytest.param(1 * MB, 1000, LEAST, 349, id="little"),
        pytest.param(-5 * MB, 1000, LEAST, 0, id="nothing is left"),
    ],
)
def test_shares(room: float, requests: int, piece: int, replay: int) -> None:
    frugal = Frugality()
    assert (frugal.piece, frugal.replay) == (PIECE, REPLAY)

    frugal.share(room, requests)
    assert (frugal.piece, frugal.replay) == (piece, replay)


@given(st.floats(0, 1e11), st.integers(1, 100_000))
def test_all_together_hold_no_more_than_there_is_but_for_the_least(room: float, requests: int) -> None:
    frugal = Frugality()
    frugal.share(room, requests)

    assert requests * (2 * frugal.piece + frugal.replay) <= max(room, requests * 3 * LEAST)
