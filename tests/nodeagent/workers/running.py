"""An agent with several workers as processes, and what a test does with it."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.nodeagent.cli.processes import Process, fetch, ports, started

WAIT = 60.0
"""Seconds after which what should have come has not."""

CONFIG = """
workers: {workers}
admin: {{port: 0, shutdownGraceMs: 10000}}
routers:
- protocol: http
  label: out
  dtab: /svc/users => /$/inet/127.0.0.1/{backend}
  servers: [{{port: 0}}]
"""


def eventually(holds: Callable[[], bool], seconds: float = WAIT) -> bool:
    """Look again and again whether something holds; tell whether it did in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def lives(pid: int) -> bool:
    """Tell whether a process runs; one that is dead and not yet reaped does not."""
    try:
        return not re.search(r"^State:\s+[ZX]", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except FileNotFoundError:
        return False


@dataclass
class Agent:
    """The processes of an agent."""

    process: Process
    port: int
    admin: int
    opened: ExitStack

    def page(self, path: str) -> str:
        """A page of the admin port."""
        response, body = fetch(self.admin, f"127.0.0.1:{self.admin}", path)
        assert response.status == 200, (path, response.status, body)
        return body

    def json(self, path: str) -> Any:
        """A page that is JSON."""
        return json.loads(self.page(path))

    def pids(self) -> list[int]:
        """The workers, by number; those that are there."""
        return [each["pid"] for each in self.json("/workers.json") if each["pid"] is not None]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in self.page("/metrics").splitlines() if re.match(rf"{name}[ {{]", line)]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in wanted))

    def per_worker(self, name: str) -> list[float]:
        """A metric that each worker has."""
        return [self.metric(f"nodeagent_worker_{name}", worker=str(number)) for number in range(len(self.pids()))]

    def connection_to(self, worker: int) -> HTTPConnection:
        """A connection that this worker has accepted: the kernel chooses, so several are made."""
        for _ in range(200):
            before = self.per_worker("connections")
            connection = self.opened.enter_context(closing(HTTPConnection("127.0.0.1", self.port, timeout=WAIT)))
            connection.connect()
            assert eventually(lambda: sum(self.per_worker("connections")) > sum(before))  # noqa: B023
            if self.per_worker("connections")[worker] > before[worker]:
                return connection
            connection.close()
            assert eventually(lambda: sum(self.per_worker("connections")) == sum(before))  # noqa: B023
        raise AssertionError(f"the kernel gives worker {worker} no connection")

    def get(self, path: str = "/") -> tuple[int, str]:
        """One request on a connection of its own."""
        response, body = fetch(self.port, "users", path)
        return response.status, body


def ask(connection: HTTPConnection, host: str = "users") -> tuple[int, str]:
    """One request on a connection that stays."""
    connection.request("GET", "/", headers={"Host": host})
    response = connection.getresponse()
    return response.status, response.read().decode()


@contextmanager
def running(directory: Path, config: str, env: dict[str, str] | None = None) -> Iterator[Agent]:
    """An agent with this configuration, of one router; whatever is left of it at the end is killed."""
    (directory / "agent.yaml").write_text(config)
    with started("run", "agent.yaml", cwd=directory, env=env, patience=3 * WAIT) as process:
        found = ports(process, 2)
        with ExitStack() as opened:
            agent = Agent(process, found["router out"], found["admin"], opened)
            assert eventually(lambda: fetch(agent.admin, "127.0.0.1", "/ready")[0].status == 200)
            workers = agent.pids()
            try:
                yield agent
            finally:
                for pid in workers:
                    with suppress(ProcessLookupError):
                        os.kill(pid, 9)
