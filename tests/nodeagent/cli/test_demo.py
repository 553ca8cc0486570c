"""The demo as people start it."""

from __future__ import annotations

import re
import signal
import socket
from contextlib import ExitStack

import pytest

import conf
from nodeagent.cli.demo import CONFIGURATION
from tests.nodeagent.cli.processes import Process, fetch, started

ANY_PORTS = ("--port", "0", "--admin-port", "0")
SUMMARY = r"(\d+) requests: (\d+) succeeded, 0 failed, 0 lost; retries: \d+"


def introduction(process: Process) -> list[str]:
    """The lines before the figures."""
    return list(iter(process.read_line, ""))


def test_its_configuration_is_valid() -> None:
    config = conf.load(CONFIGURATION.format(port=4140, admin_port=9990, disco='"/tmp/x"'), "demo")

    assert (config.routers[0].servers[0].port, config.admin.port) == (4140, 9990)


@pytest.mark.e2e
def test_it_ends_after_its_time_and_has_lost_nothing() -> None:
    with started("demo", "--seconds", "3", *ANY_PORTS) as process:
        lines = introduction(process)
        code, out, err = process.end()

    *figures, summary = out.splitlines()
    counted = re.fullmatch(SUMMARY, summary)
    assert (code, err) == (0, "")
    assert sum(line.startswith("  curl ") or " curl " in line for line in lines) == 3
    assert [line.partition(" | ")[0] for line in figures] == ["   1 s", "   2 s"]
    assert all(name in line for line in figures for name in ("| users ", "| orders ", "| payments "))
    assert counted
    assert counted[1] == counted[2]
    assert int(counted[1]) > 100


@pytest.mark.e2e
def test_what_it_tells_to_try_works() -> None:
    with started("demo", *ANY_PORTS) as process:
        text = "\n".join(introduction(process))
        proxy = re.search(r"'Host: users' http://127.0.0.1:(\d+)/", text)
        admin = re.search(r"http://127.0.0.1:(\d+)/explain.json\?path=/svc/orders", text)
        assert proxy
        assert admin
        users, who = fetch(int(proxy[1]), "users")
        explained, why = fetch(int(admin[1]), f"127.0.0.1:{admin[1]}", "/explain.json?path=/svc/orders")
        process.signal(signal.SIGINT)
        code, out, err = process.end()

    assert (users.status, who.partition(":")[0]) == (200, "users")
    assert (explained.status, '"outcome":"bound"' in why) == (200, True)
    assert (code, err) == (0, "")
    assert re.fullmatch(SUMMARY, out.splitlines()[-1])


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("taken", "who"), [pytest.param(0, "router outgoing", id="the agent's"), pytest.param(1, "admin", id="the admin's")]
)
def test_a_port_that_is_taken(taken: int, who: str) -> None:
    with ExitStack() as held:
        other = held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        chosen = [str(other) if at == taken else "0" for at in range(2)]
        with started("demo", "--port", chosen[0], "--admin-port", chosen[1]) as process:
            code, out, err = process.end()

    assert (code, out) == (1, "")
    assert err.startswith(f"nodeagent: {who} on 127.0.0.1:{other} cannot listen: the port is taken; ")
    assert err.endswith("choose another port with --port or --admin-port (0 takes any free one)\n")
    assert err.count("\n") == 1
