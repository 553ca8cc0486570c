"""What the fuzzer begins with, and what it has found, still holds; and what chance finds in a moment."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
SPICES = (b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"\x0b", b"\xff", b"chunked", b"/", b"#")
SEEDS = sorted(CORPUS.glob("*/*"))


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_seeds_hold(seed: Path) -> None:
    TARGETS[seed.parent.name](seed.read_bytes())


def test_every_target_has_seeds() -> None:
    assert {seed.parent.name for seed in SEEDS} == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_mixtures_of_seeds_hold(name: str, data: st.DataObject) -> None:
    """Pieces of the seeds, with bytes between that mean something to some reader."""
    seeds = [seed.read_bytes() for seed in SEEDS if seed.parent.name == name]
    pieces = []
    for _ in range(data.draw(st.integers(1, 4))):
        seed = data.draw(st.sampled_from(seeds))
        start, end = sorted((data.draw(st.integers(0, len(seed))), data.draw(st.integers(0, len(seed)))))
        pieces += [seed[start:end], data.draw(st.sampled_from(SPICES))]
    TARGETS[name](b"".join(pieces))
