"""`nodeagent top`, of a running agent, in a terminal and without one."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from tests.nodeagent.cli.conftest import Cli
from tests.nodeagent.cli.processes import NODEAGENT, PATIENCE, fetch
from tests.nodeagent.cli.test_tap import agent

pytestmark = pytest.mark.e2e


def test_lines_and_records_where_no_terminal_is(cli: Cli) -> None:
    with agent() as (_, port, admin):
        fetch(port, "users", "/good")
        for_people = cli("top", "--admin", admin, "--seconds", "0.1", "--count", "2", "users")
        for_machines = cli("top", "--admin", admin, "--seconds", "0.1", "--count", "2", "--json")
    assert for_people.code == for_machines.code == 0
    assert [line.split()[:3] for line in for_people.out.splitlines()] == [["out", "/svc/users", "0.0/s"]] * 2
    readings = [json.loads(line) for line in for_machines.out.splitlines()]
    assert [[row["name"] for row in each["services"]] for each in readings] == [["/svc/users"]] * 2


def test_nobody_answers(cli: Cli) -> None:
    done = cli("top", "--admin", "http://127.0.0.1:1")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("nodeagent: no agent answers at http://127.0.0.1:1")


class Terminal:
    """`nodeagent top` in a terminal of 80 by 10."""

    def __init__(self, admin: str, **environment: str) -> None:
        self._fd, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 80, 0, 0))
        self.before = termios.tcgetattr(inner)
        self._inner = inner
        self.process = subprocess.Popen(
            (*NODEAGENT, "top", "--admin", admin, "--seconds", "0.2"),
            stdin=inner,
            stdout=inner,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TERM": "xterm-256color"} | environment,
        )
        self.seen = ""

    def until(self, pattern: str) -> str:
        """Read until something stands there; return what was read since the last time."""
        deadline, read = time.monotonic() + PATIENCE, ""
        while not re.search(pattern, read):
            assert time.monotonic() < deadline, (pattern, read[-2000:])
            if select.select([self._fd], [], [], 0.1)[0]:
                read += os.read(self._fd, 65536).decode(errors="replace")
        self.seen += read
        return read

    def press(self, key: str) -> None:
        os.write(self._fd, key.encode())

    def end(self) -> int:
        """Wait for its end; whatever it says yet is read."""
        deadline = time.monotonic() + PATIENCE
        while (code := self.process.poll()) is None:
            assert time.monotonic() < deadline
            if select.select([self._fd], [], [], 0.05)[0]:
                self.seen += os.read(self._fd, 65536).decode(errors="replace")
        assert termios.tcgetattr(self._inner)[3] == self.before[3], "the terminal echoes again"
        os.close(self._inner)
        os.close(self._fd)
        return code


def test_a_table_that_keys_sort_until_q() -> None:
    with agent() as (_, port, admin):
        fetch(port, "users", "/good")
        terminal = Terminal(admin)
        terminal.until(r"/svc/users")
        terminal.until(r"sorted by req/s;")
        terminal.press("l")
        terminal.until(r"sorted by p99;")
        terminal.press("l")
        terminal.until(r"sorted by p99, reversed;")
        terminal.press("q")
        assert terminal.end() == 0
    assert "\x1b[?1049h" in terminal.seen, "it has a screen of its own"


def test_ctrl_c_ends_it_and_no_colours_where_none_are_wanted() -> None:
    with agent() as (_, port, admin):
        fetch(port, "users", "/bad")
        terminal = Terminal(admin, NO_COLOR="1")
        terminal.until(r"/svc/users")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", terminal.seen)


def test_it_waits_for_an_agent_that_goes_away() -> None:
    with agent() as (process, port, admin):
        fetch(port, "users", "/good")
        terminal = Terminal(admin)
        terminal.until(r"/svc/users")
        process.signal(signal.SIGTERM)
        process.end()
        terminal.until(r"no agent answers")
        terminal.press("q")
        assert terminal.end() == 0
