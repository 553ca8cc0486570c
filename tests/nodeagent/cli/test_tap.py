"""`nodeagent tap`, of a running agent."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from tests.nodeagent.cli.conftest import Cli
from tests.nodeagent.cli.processes import NODEAGENT, PATIENCE, Process, backend, fetch, ports, started

pytestmark = pytest.mark.e2e

CONFIG = """
admin: {{port: 0, shutdownGraceMs: 1000}}
routers:
- protocol: http
  label: out
  dtab: /svc/users => /$/inet/127.0.0.1/{port}
  servers: [{{port: 0}}]
"""


def answer(request: BaseHTTPRequestHandler) -> tuple[int, str]:
    return (500 if request.path == "/bad" else 200), "hi"


@contextmanager
def agent() -> Iterator[tuple[Process, int, str]]:
    """A running agent, its port, and the URL of its admin port."""
    with backend(answer) as port, started("run", "-", stdin=CONFIG.format(port=port), patience=3 * PATIENCE) as process:
        found = ports(process, 2)
        yield process, found["router out"], f"http://127.0.0.1:{found['admin']}"


@contextmanager
def tapping(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`nodeagent tap` from when it is sure to watch."""
    command = (*NODEAGENT, "tap", *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as popen:
        try:
            yield popen
        finally:
            popen.kill()


def say(popen: subprocess.Popen[str], port: int, path: str) -> str:
    """Ask until it is told of, for the tap may just be starting; return the line."""
    out, seen = popen.stdout, list[str]()
    assert out is not None
    reader = threading.Thread(target=lambda: seen.append(out.readline()))
    reader.start()
    for _ in range(int(PATIENCE * 10)):
        fetch(port, "users", path)
        reader.join(0.1)
        if not reader.is_alive():
            break
    assert seen
    return seen[0]


def test_lines_for_people_until_ctrl_c() -> None:
    with agent() as (_, port, admin), tapping("--admin", admin, "status>=500", "path~bad", "--router", "out") as popen:
        fetch(port, "users", "/good")
        line = say(popen, port, "/bad")
        popen.send_signal(signal.SIGINT)
        popen.communicate(timeout=PATIENCE)
    assert " 500 GET http://users/bad -> 127.0.0.1:" in line
    assert line.endswith("  upstream: it answered 500\n")
    assert "\x1b" not in line
    assert popen.returncode == 0


def test_records_for_programs_and_no_more_than_asked_for() -> None:
    with agent() as (_, port, admin), tapping("--admin", admin, "--json", "--limit", "1") as popen:
        record = json.loads(say(popen, port, "/good"))
        rest, errors = popen.communicate(timeout=PATIENCE)
    assert (record["url"], record["status"], record["name"]) == ("http://users/good", 200, "/svc/users")
    assert (rest, errors, popen.returncode) == ("", "", 0)


def test_it_says_when_the_agent_goes_away() -> None:
    with agent() as (process, port, admin), tapping("--admin", admin) as popen:
        say(popen, port, "/good")
        process.signal(signal.SIGTERM)
        process.end()
        _, errors = popen.communicate(timeout=PATIENCE)
    assert (errors, popen.returncode) == (f"nodeagent: the agent at {admin} is gone: it closed the connection\n", 1)


def test_what_is_no_filter_is_wrong_usage(cli: Cli) -> None:
    with agent() as (_, _, admin):
        done = cli("tap", "--admin", admin, "stats=500")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("nodeagent: filter: there is no field 'stats'; did you mean status?")
    assert done.err.count("\n") == 1


def test_nobody_answers(cli: Cli) -> None:
    done = cli("tap", "--admin", "http://127.0.0.1:1")
    assert (done.code, done.err.startswith("nodeagent: no agent answers at http://127.0.0.1:1")) == (1, True)


def test_who_is_no_agent(cli: Cli) -> None:
    with backend(lambda _: (200, "data: {}\n\n")) as port:
        done = cli("tap", "--admin", f"http://127.0.0.1:{port}")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"nodeagent: http://127.0.0.1:{port}/tap answered no events; is that an agent's admin port?\n"
