"""The access log of real agents: rotation under load, sinks that hang, several workers."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from math import inf
from pathlib import Path
from typing import Any

import pytest

from tests.nodeagent.cli.processes import PATIENCE, Process, backend, fetch, ports, started

pytestmark = pytest.mark.e2e

CONFIG = """
workers: {workers}
admin: {{port: 0, shutdownGraceMs: 2000}}
routers:
- protocol: http
  label: out
  dtab: /svc/users => /$/inet/127.0.0.1/{backend}
  servers: [{{port: 0}}]
  accessLog: {{to: {to}}}
"""

CALLERS = 4


@contextmanager
def agent(directory: Path, to: str, workers: int = 1) -> Iterator[tuple[Process, int, int]]:
    """An agent in front of a backend for "users", with a log: the process, its port and its admin port."""
    with backend(lambda _: (200, "ok")) as port:
        (directory / "agent.yaml").write_text(CONFIG.format(workers=workers, backend=port, to=to))
        with started("run", "agent.yaml", cwd=directory, patience=3 * PATIENCE) as process:
            found = ports(process, 2)
            yield process, found["router out"], found["admin"]


def ask(port: int, count: int, seconds: float = inf) -> list[str]:
    """Ask so many times on a connection that is kept, or for so long; return the ids of the requests."""
    ids: list[str] = []
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    end = time.monotonic() + seconds
    while len(ids) < count and time.monotonic() < end:
        connection.request("GET", "/", headers={"Host": "users"})
        response = connection.getresponse()
        assert response.read() == b"ok"
        ids.append(response.headers["l5d-reqid"])
    connection.close()
    return ids


def lines(*paths: Path) -> list[dict[str, Any]]:
    """The records of these files; each line is one, whole."""
    text = b"".join(path.read_bytes() for path in paths)
    assert text.endswith(b"\n")
    return [json.loads(line) for line in text.split(b"\n")[:-1]]


def counted(admin: int) -> dict[str, float]:
    """What `/metrics` says of lines, by result."""
    page = fetch(admin, "localhost", "/metrics")[1]
    samples = [line for line in page.splitlines() if line.startswith("nodeagent_access_log_lines_total")]
    return {line.split('result="')[1].split('"')[0]: float(line.split()[-1]) for line in samples}


def eventually_counted(admin: int, result: str, least: float) -> float:
    """Wait until so many lines were counted."""
    end = time.monotonic() + PATIENCE
    while (found := counted(admin).get(result, 0.0)) < least:
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_no_line_is_lost_or_torn_when_files_are_rotated_under_load(tmp_path: Path, workers: int) -> None:
    log = tmp_path / "access.log"
    rotated = [tmp_path / f"access.log.{number}" for number in range(4)]
    with agent(tmp_path, str(log), workers) as (process, port, admin), ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(ask, port, 1_000_000, 3.0) for _ in range(CALLERS)]
        for old in rotated:
            time.sleep(0.5)
            log.rename(old)
            process.signal(signal.SIGHUP)
            end = time.monotonic() + PATIENCE
            while not log.exists():
                assert time.monotonic() < end
                time.sleep(0.01)
        ids = [id_ for caller in callers for id_ in caller.result()]
        eventually_counted(admin, "written", len(ids))
        process.signal(signal.SIGTERM)
        code, _, err = process.end()

    assert code == 0, err
    found = lines(*rotated, log)
    assert sorted(line["id"] for line in found) == sorted(ids)
    assert all(old.stat().st_size for old in rotated)
    assert {line["endpoint"] for line in found} == {found[0]["attempts"][0]["endpoint"]}


def test_what_was_asked_last_is_written_before_the_end(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with agent(tmp_path, str(log)) as (process, port, _):
        ids = ask(port, 20)
        fetch(port, "users", headers={"User-Agent": "tests/1", "Referer": "http://portal/"})
        process.signal(signal.SIGTERM)
        assert process.end()[0] == 0

    *found, last = lines(log)
    assert [line["id"] for line in found] == ids
    assert (found[0]["user_agent"], last["user_agent"], last["referer"]) == (None, "tests/1", "http://portal/")


def test_a_pipe_that_nobody_reads_costs_nothing_but_its_lines(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with agent(tmp_path, str(pipe)) as (process, port, admin):
        asked = len(ask(port, 100))
        assert eventually_counted(admin, "dropped", asked) == asked

        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # somebody comes
        asked = len(ask(port, 20))
        eventually_counted(admin, "written", asked)
        assert os.read(reader, 100).startswith(b'{"time":"')
        os.close(reader)
        process.signal(signal.SIGTERM)
        code, _, err = process.end()

    assert code == 0
    assert "nobody reads this pipe" in err


def test_a_pipe_that_is_full_holds_up_neither_requests_nor_the_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with agent(tmp_path, str(pipe)) as (process, port, _):
        began = time.monotonic()
        ask(port, 1000)  # 64 KB are some 100 lines
        assert time.monotonic() - began < PATIENCE
        process.signal(signal.SIGTERM)
        code, _, err = process.end()
    os.close(reader)

    assert code == 0
    assert "the agent has ended before they were written" in err


@pytest.mark.parametrize("workers", [1, 2])
def test_lines_on_standard_output(tmp_path: Path, workers: int) -> None:
    with agent(tmp_path, "stdout", workers) as (process, port, admin):
        ids = ask(port, 20)
        eventually_counted(admin, "written", len(ids))
        process.signal(signal.SIGTERM)
        code, out, err = process.end()

    assert code == 0, err
    assert [json.loads(line)["id"] for line in out.splitlines()] == ids


def test_the_signal_does_no_harm_where_there_is_no_log(tmp_path: Path) -> None:
    with agent(tmp_path, "/dev/null") as (process, port, _):
        process.signal(signal.SIGHUP)
        assert ask(port, 20)
        process.signal(signal.SIGTERM)
        assert process.end()[0] == 0
