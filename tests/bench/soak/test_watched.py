"""The count of the agent's tasks is right, and its longest turn is seen."""

import os
import sys
import time
from pathlib import Path

import pytest
import trio

from bench.processes import running
from bench.soak.watched import PERIOD, Watch, read


def test_nothing_was_written_yet() -> None:
    assert read("") == (0, 0, 0.0)


def test_tasks_are_counted_and_a_long_turn_is_seen(tmp_path: Path) -> None:
    target = os.open(tmp_path / "watch", os.O_RDWR | os.O_CREAT)

    async def main() -> tuple[int, str]:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(trio.sleep_forever)
            await trio.sleep(PERIOD + 0.01)
            time.sleep(0.1)
            await trio.sleep(0.01)
            living = trio.lowlevel.current_statistics().tasks_living
            nursery.cancel_scope.cancel()
            return living, os.pread(target, 100, 0).decode()

    try:
        living, written = trio.run(main, instruments=[Watch(target)])
    finally:
        os.close(target)
    tasks, blocks, longest = read(written)
    assert tasks == living > 5
    assert blocks > 1000
    assert longest >= 0.1


@pytest.mark.e2e
def test_the_agent_runs_as_ever(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    command = (sys.executable, "-m", "bench.soak.watched", str(tmp_path / "watch"), "version")
    with running("agent", command, core=core, log=tmp_path / "log") as process:
        assert process.wait(20.0) == 0
        assert process.output().strip()
