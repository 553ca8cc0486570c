"""Names come and go, and each keeps its endpoints for as long as somebody may ask for it."""

import random
from pathlib import Path

from bench.soak.churn import GRACE, LIVE_NAMES, Names, write

PORTS = [8001, 8002, 8003, 8004]


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_name_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path, "web", [8001, 8002])
    write(tmp_path, "web", [8003])
    assert (tmp_path / "web").read_text() == "127.0.0.1 8003\n"
    assert files(tmp_path) == {"web"}


def test_names_come_and_go(tmp_path: Path) -> None:
    names = Names(tmp_path, PORTS, random.Random(1))
    assert files(tmp_path) == {f"n{number}" for number in range(LIVE_NAMES)}

    names.turn(0.0)
    assert files(tmp_path) == {f"n{number}" for number in range(LIVE_NAMES + 1)}
    assert all(names.known() != "n0" for _ in range(2000))

    names.turn(GRACE + 0.1)
    assert "n0" not in files(tmp_path)
    assert {"n1", f"n{LIVE_NAMES + 1}"} <= files(tmp_path)
    assert names.made == LIVE_NAMES + 2


def test_each_name_has_endpoints_that_are_there(tmp_path: Path) -> None:
    names = Names(tmp_path, PORTS, random.Random(1))
    for turn in range(100):
        names.turn(float(turn))
    for name in files(tmp_path):
        lines = (tmp_path / name).read_text().splitlines()
        assert 1 <= len(lines) <= 3
        assert len(set(lines)) == len(lines)
        assert set(lines) <= {f"127.0.0.1 {port}" for port in PORTS}


def test_no_stranger_is_met_twice(tmp_path: Path) -> None:
    names = Names(tmp_path, PORTS, random.Random(1))
    assert len({names.unknown() for _ in range(100)}) == names.strangers == 100
