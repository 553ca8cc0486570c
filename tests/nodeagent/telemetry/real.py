"""A real Prometheus that scrapes, for the tests that need one."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.nodeagent.cli.processes import fetch
from tests.nodeagent.proxy.world import free_port

RULES = Path("examples/prometheus/nodeagent.rules.yml")
WAIT = 30.0
"""Seconds after which what should have been scraped was not."""

CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}
rule_files: ["{rules}"]
scrape_configs:
- job_name: nodeagent
  static_configs: [{{targets: ["127.0.0.1:{target}"]}}]
"""

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason="needs prometheus: apt-get install prometheus"
)

Labels = dict[str, str]


@dataclass
class Prometheus:
    """A server, by the port of its HTTP API."""

    port: int

    def api(self, path: str, **query: str) -> Any:
        """What the API answers, None while there is no answer."""
        try:
            response, body = fetch(self.port, "127.0.0.1", f"/api/v1/{path}?{urlencode(query)}")
        except OSError:
            return None
        return json.loads(body)["data"] if response.status == 200 else None

    def query(self, expression: str) -> list[tuple[Labels, float]]:
        """The samples of an expression now."""
        answer = self.api("query", query=expression) or {"result": []}
        return [(each["metric"], float(each["value"][1])) for each in answer["result"]]

    def value(self, expression: str) -> float | None:
        """The value of an expression that has one sample; None while it has none."""
        found = self.query(expression)
        assert len(found) < 2, f"{expression} has {found}"
        return found[0][1] if found else None

    def becomes(self, expression: str, holds: Callable[[float], bool]) -> float:
        """The value of an expression once it is as expected; as it is when it is not in time."""
        deadline = time.monotonic() + WAIT
        while (found := self.value(expression)) is None or not holds(found):
            if time.monotonic() > deadline:
                assert found is not None, f"{expression} has no value"
                return found
            time.sleep(0.1)
        return found


@contextmanager
def prometheus(directory: Path, target: int) -> Iterator[Prometheus]:
    """A server that scrapes a port of this host five times a second and follows the rules of the examples."""
    port = free_port()
    config = directory / "prometheus.yml"
    config.write_text(CONFIG.format(rules=RULES.resolve(), target=target))
    command = [
        *("prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'tsdb'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
    ]
    with (directory / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield Prometheus(port)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
