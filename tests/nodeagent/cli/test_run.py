"""The agent as a process: ready, serving, draining, and what keeps it from starting."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.nodeagent.cli.processes import PATIENCE, Process, backend, fetch, ports, started

pytestmark = pytest.mark.e2e

CONFIG = """
admin: {{port: 0, shutdownGraceMs: 10000}}
routers:
- protocol: http
  label: outgoing
  dtab: /svc/users => /$/inet/127.0.0.1/{backend}
  servers: [{{port: {port}}}]
"""

TERM, INT = signal.SIGTERM, signal.SIGINT

NOT_NEEDED = ("rich.console", "httpx", "cryptography.x509", "google.protobuf", "tracemalloc")
"""What only some configurations and commands use: memory of each agent on each host."""


class Slow:
    """A backend's answer that waits until the test has seen its request come in."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, request: BaseHTTPRequestHandler) -> tuple[int, str]:
        self.asked.set()
        self.go_on.wait(PATIENCE)
        return 200, "late but whole"


@contextmanager
def running(
    directory: Path, backend_port: int, env: dict[str, str] | None = None
) -> Iterator[tuple[Process, int, int]]:
    """An agent in front of a backend for "users": the process, its port and its admin port."""
    (directory / "agent.yaml").write_text(CONFIG.format(port=0, backend=backend_port))
    with started("run", "agent.yaml", cwd=directory, env=env) as process:
        found = ports(process, 2)
        yield process, found["router outgoing"], found["admin"]


def wait_until_refused(port: int) -> None:
    """Return when nobody listens on a port any more: the drain has begun."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # it was in the queue of a listener that closed
            continue


@pytest.mark.parametrize("number", [TERM, INT], ids=["SIGTERM", "SIGINT"])
def test_it_serves_from_the_moment_it_says_so_and_ends_with_0(tmp_path: Path, number: signal.Signals) -> None:
    with (
        backend(lambda request: (200, f"hello {request.path}")) as port,
        running(tmp_path, port) as (process, proxy, _),
    ):
        response, body = fetch(proxy, "users", "/x")
        process.signal(number)
        code, out, err = process.end()

    assert (response.status, body) == (200, "hello /x")
    assert (code, out) == (0, "")
    assert "Traceback" not in err


def test_a_drain_answers_what_is_under_way(tmp_path: Path) -> None:
    slow = Slow()
    with backend(slow) as port, running(tmp_path, port) as (process, proxy, _), ThreadPoolExecutor() as pool:
        answer = pool.submit(fetch, proxy, "users")
        assert slow.asked.wait(PATIENCE)
        process.signal(TERM)
        wait_until_refused(proxy)
        slow.go_on.set()
        response, body = answer.result(PATIENCE)
        code, _, err = process.end()

    assert (response.status, body) == (200, "late but whole")
    assert (code, "Traceback" in err) == (0, False)


def test_a_second_signal_cuts_at_once(tmp_path: Path) -> None:
    slow = Slow()
    with backend(slow) as port, running(tmp_path, port) as (process, proxy, _), ThreadPoolExecutor() as pool:
        answer = pool.submit(fetch, proxy, "users")
        assert slow.asked.wait(PATIENCE)
        process.signal(TERM)
        wait_until_refused(proxy)
        process.signal(TERM)
        code, _, err = process.end()
        slow.go_on.set()

    assert isinstance(answer.exception(PATIENCE), ConnectionError)
    assert (code, "Traceback" in err) == (1, False)


def test_the_admin_port_can_end_it_too(tmp_path: Path) -> None:
    with running(tmp_path, 1) as (process, _, admin):
        response, _ = fetch(admin, f"127.0.0.1:{admin}", "/admin/shutdown", method="POST")
        code, _, err = process.end()

    assert response.status == 200
    assert (code, "Traceback" in err) == (0, False)


def test_the_service_manager_hears_of_each_change(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(PATIENCE)
        with running(tmp_path, 1, env={"NOTIFY_SOCKET": str(path)}) as (process, _, _):
            said = [manager.recv(1000) for _ in range(2)]
            process.signal(TERM)
            said += [manager.recv(1000) for _ in range(2)]
            process.end()

    assert said == [b"READY=1", b"STATUS=2 listeners", b"STOPPING=1", b"STATUS=draining"]


def test_standard_input_is_a_configuration_too() -> None:
    with started("run", "-", stdin=CONFIG.format(port=0, backend=1)) as process:
        assert set(ports(process, 2)) == {"router outgoing", "admin"}
        process.signal(TERM)
        assert process.end()[0] == 0


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started("run", "-", stdin=CONFIG.format(port=port, backend=1)) as process:
            code, out, err = process.end()

    assert (code, out) == (1, "")
    assert err.startswith(f"nodeagent: router outgoing on 127.0.0.1:{port} cannot listen: the port is taken; ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "env", "says"),
    [
        pytest.param("routers: []", {}, "<stdin>:1:10: routers: ", id="a bad configuration"),
        pytest.param(
            CONFIG.format(port=0, backend=1),
            {"NOTIFY_SOCKET": "somewhere"},
            "nodeagent: NOTIFY_SOCKET='somewhere': expected an absolute path",
            id="a service manager that makes no sense",
        ),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(text: str, env: dict[str, str], says: str) -> None:
    with started("run", "-", stdin=text, env=env) as process:
        code, out, err = process.end()

    assert (code, out) == (1, "")
    assert err.startswith(says)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "environment", "heard"),
    [
        pytest.param([], {}, {"info"}, id="info by default"),
        pytest.param(["--log-level", "debug"], {}, {"debug", "info"}, id="by the command line"),
        pytest.param([], {"NODEAGENT_LOG_LEVEL": "warning"}, set(), id="by the environment"),
    ],
)
def test_how_much_is_logged(tmp_path: Path, arguments: list[str], environment: dict[str, str], heard: set[str]) -> None:
    with backend(lambda request: (200, "hello")) as port:
        (tmp_path / "agent.yaml").write_text(CONFIG.format(port=0, backend=port))
        with started("run", *arguments, "agent.yaml", cwd=tmp_path, env={**os.environ, **environment}) as process:
            assert fetch(ports(process, 2)["router outgoing"], "users")[1] == "hello"
            process.signal(TERM)
            _, _, log = process.end()
    assert {json.loads(line)["level"] for line in log.splitlines()} == heard


def test_a_level_that_there_is_not_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text("logLevel: loud\n" + CONFIG.format(port=0, backend=1))
    with started("run", "agent.yaml", cwd=tmp_path) as process:
        code, _, log = process.end()
    assert (code, log.partition("logLevel")[0]) == (1, "agent.yaml:1:11: ")
    assert "expected one of debug, info, warning, error, critical" in log


def test_what_is_not_used_is_not_imported(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    (tmp_path / "agent.yaml").write_text(CONFIG.format(backend=1, port=0))
    with started("run", "agent.yaml", cwd=tmp_path, env=env) as agent:
        found = ports(agent, 2)
        for page in ("/ready", "/metrics", "/requests.json"):
            fetch(found["admin"], "localhost", page)
        agent.signal(TERM)
        code, _, told = agent.end()

    imported = {line.rpartition("|")[2].strip() for line in told.splitlines() if "|" in line}
    assert (code, "nodeagent" in imported) == (0, True)
    assert sorted(imported.intersection(NOT_NEEDED)) == []
