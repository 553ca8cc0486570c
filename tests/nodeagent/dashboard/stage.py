"""A real agent with a few services and some traffic, for the dashboard to show."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.nodeagent.cli.processes import Process, backend, fetch, ports, started

LIFETIME = 300.0
"""Seconds after which the agent is killed, whatever the test does."""

HOSTILE = '<img src=x onerror="document.title=1">'
"""What would be an element if a text became markup."""

SCRIPTS = ("/<script>document.title=1</script>", "/?q=%22'><img src=x onerror=document.title=1>".replace(" ", "%20"))

CONFIG = """
admin: {{port: {admin}, shutdownGraceMs: 500}}
namers:
- {{kind: io.l5d.fs, rootDir: disco}}
routers:
- protocol: http
  label: outgoing
  dtab: |
    /svc => /#/io.l5d.fs ;
    /svc/split => 3 * /#/io.l5d.fs/users & 1 * /#/io.l5d.fs/flaky ;
    /svc/spare => /#/io.l5d.fs/nowhere | /#/io.l5d.fs/users ;
  service:
    responseClassifier: {{kind: io.l5d.http.retryableRead5XX}}
    retries: {{backoff: {{kind: constant, ms: 0}}}}
  servers: [{{port: 0}}]
- protocol: http
  label: '{hostile}'
  dtab: /svc => /#/io.l5d.fs
  servers: [{{port: 0}}]
"""


@dataclass
class Staged:
    """The agent, and how to ask it."""

    process: Process
    port: int
    admin: int

    @property
    def url(self) -> str:
        """The dashboard."""
        return f"http://127.0.0.1:{self.admin}/"

    def ask(self, service: str, path: str = "/", **headers: str) -> int:
        """One request for a service; its status."""
        return fetch(self.port, service, path, headers=headers)[0].status

    def page(self, path: str) -> str:
        """A page of the admin port."""
        response, body = fetch(self.admin, f"127.0.0.1:{self.admin}", path)
        assert response.status == 200, (path, response.status, body)
        return body

    def json(self, path: str) -> Any:
        """A page that is JSON."""
        return json.loads(self.page(path))

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = (line.rpartition(" ") for line in self.page("/metrics").splitlines())
        return sum(
            float(value) for key, _, value in lines if key.startswith(f"{name}{{") and all(w in key for w in wanted)
        )


@contextmanager
def staged(directory: Path, *, admin: int = 0) -> Iterator[Staged]:
    """An agent with the services users (two endpoints), flaky (fails every other time) and broken (nobody listens)."""
    turns = itertools.count()

    def well(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        return 200, "fine\n"

    def flaky(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        return (500, "no\n") if next(turns) % 2 == 0 else (200, "fine\n")

    with ExitStack() as opened:
        discovery = directory / "disco"
        discovery.mkdir(exist_ok=True)
        one, other, third = (opened.enter_context(backend(each)) for each in (well, well, flaky))
        with socket.create_server(("127.0.0.1", 0)) as closed:
            nobody = closed.getsockname()[1]
        endpoints: dict[str, list[int | str]] = {"users": [one, f"{other} * 2"], "flaky": [third], "broken": [nobody]}
        for name, places in endpoints.items():
            (discovery / name).write_text("".join(f"127.0.0.1 {place}\n" for place in places))
        (directory / "agent.yaml").write_text(CONFIG.format(admin=admin, hostile=HOSTILE))
        process = opened.enter_context(started("run", "agent.yaml", cwd=directory, patience=LIFETIME))
        found = ports(process, 3)
        yield Staged(process, found["router outgoing"], found["admin"])
