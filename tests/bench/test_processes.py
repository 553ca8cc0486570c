"""Started programs are measured as a whole and never outlive their block."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from bench.processes import BenchError, Process, free_ports, running

CORE = min(os.sched_getaffinity(0))
WAIT = 20.0

BUSY = "print(sum(range(2_000_000)), flush=True); import time; time.sleep(60)"
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal, time\\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\\nprint('deaf', flush=True)\\ntime.sleep(60)"])
child.wait()
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def until_printed(process: Process, word: str) -> None:
    deadline = time.monotonic() + WAIT
    while word not in process.output():
        assert time.monotonic() < deadline, process.output()
        time.sleep(0.01)


def test_a_program_s_cost_is_seen(tmp_path: Path) -> None:
    with running("busy", python(BUSY), core=CORE, log=tmp_path / "log") as process:
        until_printed(process, "1999999000000")

        assert process.cpu_seconds() > 0.0
        assert process.resident_bytes() > 1_000_000
        assert os.sched_getaffinity(process.pids()[0]) == {CORE}


def test_the_harness_stays_where_it_was(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    with running("busy", python(BUSY), core=CORE, log=tmp_path / "log"):
        assert os.sched_getaffinity(0) == before


def test_a_tree_is_stopped_whole_even_when_a_child_is_deaf(tmp_path: Path) -> None:
    with running("parent", python(PARENT), core=CORE, log=tmp_path / "log") as process:
        until_printed(process, "deaf")
        assert len(process.pids()) == 2

    assert process.exit_code() == -signal.SIGTERM
    deadline = time.monotonic() + WAIT
    while process.pids():  # a killed orphan is reaped by init in its own time
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_block_that_fails_stops_the_program_too(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        running("busy", python(BUSY), core=CORE, log=tmp_path / "log") as process,
    ):
        raise KeyboardInterrupt
    assert process.exit_code() is not None


def test_a_program_that_has_ended_costs_nothing_and_may_be_stopped(tmp_path: Path) -> None:
    with running("short", python("print('done')"), core=CORE, log=tmp_path / "log") as process:
        assert process.wait(WAIT) == 0
        assert process.cpu_seconds() == 0.0
        assert process.resident_bytes() == 0
    assert process.output() == "done\n"


def test_a_program_that_does_not_end_in_time_is_an_error_with_its_output(tmp_path: Path) -> None:
    with running("busy", python(BUSY), core=CORE, log=tmp_path / "log") as process:
        until_printed(process, "1999999000000")
        with pytest.raises(BenchError, match=r"(?s)busy did not end within 0 s.*1999999000000"):
            process.wait(0.0)


def test_a_program_that_cannot_be_started_is_an_error_that_names_it(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with (
        pytest.raises(BenchError, match=r"peer: cannot start .*missing"),
        running("peer", [missing], core=CORE, log=tmp_path / "log"),
    ):
        pass


def test_free_ports_are_different() -> None:
    assert len(set(free_ports(20))) == 20
