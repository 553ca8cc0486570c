"""A real Prometheus scrapes a real agent, and its golden queries return what callers and backends know to be true."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from nodeagent.telemetry.prometheus import UNITS
from tests.nodeagent.cli.processes import backend, fetch, ports, started
from tests.nodeagent.telemetry.real import Prometheus, needs_prometheus, prometheus

pytestmark = pytest.mark.e2e

REQUESTS = 30
"""For each service, after the one that makes its series begin."""
SLOW = 0.25
"""Seconds that the slow one takes."""

CONFIG = """
workers: {workers}
admin: {{port: 0}}
namers: [{{kind: fs, rootDir: disco}}]
routers:
- protocol: http
  label: out
  dtab: /svc => /#/fs
  servers: [{{port: 0}}]
  client:
    loadBalancer: {{kind: roundRobin}}
    failureAccrual: {{kind: io.l5d.consecutiveFailures, failures: 3, backoff: {{kind: constant, ms: 600000}}}}
  service:
    kind: io.l5d.static
    configs:
    - prefix: /svc/*
      responseClassifier: {{kind: io.l5d.http.nonRetryable5XX}}
    - prefix: /svc/flaky
      responseClassifier: {{kind: io.l5d.http.retryableRead5XX}}
      retries: {{backoff: {{kind: constant, ms: 0}}}}
"""


class Truth:
    """What the backends have seen, by name: each answers as its name says."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def answer(self, request: BaseHTTPRequestHandler) -> tuple[int, str]:
        name = request.headers["Host"]
        with self._lock:
            self.seen[name] += 1
            turn = self.seen[name]
        if name == "slow":
            time.sleep(SLOW)
        if name == "flaky" and turn % 2 == 1:
            return 503, "busy"
        if name == "halves" and turn % 2 == 0:
            return 500, "broken"
        return 200, "fine"


class Agent:
    """A running agent, the truth behind it, and the Prometheus that scrapes it."""

    def __init__(self, port: int, admin: int, truth: Truth, scraper: Prometheus) -> None:
        self.port, self.admin, self.truth, self.scraper = port, admin, truth, scraper

    def ask(self, name: str) -> int:
        return fetch(self.port, name)[0].status


@contextmanager
def scraped(directory: Path, workers: int) -> Iterator[Agent]:
    """An agent with services that do as they are called; ejecting has an endpoint that always fails."""
    truth = Truth()
    (directory / "disco").mkdir()
    (directory / "agent.yaml").write_text(CONFIG.format(workers=workers))
    with backend(truth.answer) as port, backend(lambda _: (503, "always")) as bad:
        for name in ("steady", "slow", "flaky", "halves"):
            (directory / "disco" / name).write_text(f"127.0.0.1 {port}\n")
        (directory / "disco/ejecting").write_text(f"127.0.0.1 {port}\n127.0.0.1 {bad}\n")
        with started("run", "agent.yaml", cwd=directory, patience=120) as process:
            found = ports(process, 2)
            with prometheus(directory, found["admin"]) as scraper:
                yield Agent(found["router out"], found["admin"], truth, scraper)
            process.signal(signal.SIGTERM)
            code, _, err = process.end()
    assert (code, "Traceback" in err) == (0, False), err


@needs_prometheus
@pytest.mark.parametrize("workers", [1, 2])
def test_the_golden_queries_return_the_truth(tmp_path: Path, workers: int) -> None:
    names = ("steady", "slow", "flaky", "halves", "ejecting")
    with scraped(tmp_path, workers) as agent:
        scraper, truth = agent.scraper, agent.truth
        for name in names:
            agent.ask(name)
        total = "sum(nodeagent_server_requests_total)"
        assert scraper.becomes(total, lambda value: value == len(names)) == len(names)
        before = Counter(truth.seen)
        slowest: dict[str, float] = {}
        callers = [threading.Thread(target=ask_often, args=(agent, name, slowest)) for name in names]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        everything = len(names) * (REQUESTS + 1)
        assert scraper.becomes(total, lambda value: value == everything) == everything

        def recorded(rule: str, expected: float, tolerance: float = 0.05, **labels: str) -> None:
            wanted = ",".join(f'{label}="{value}"' for label, value in labels.items())
            query = f"{rule}{{{wanted}}}" if wanted else rule
            found = scraper.becomes(query, lambda value: abs(value - expected) <= tolerance)
            assert found == pytest.approx(expected, abs=tolerance), (rule, labels)

        def between(rule: str, least: float, most: float, **labels: str) -> None:
            recorded(rule, (least + most) / 2, (most - least) / 2, **labels)

        sent = {name: truth.seen[name] - before[name] for name in names}
        assert (sent["steady"], sent["halves"]) == (REQUESTS, REQUESTS)
        assert sent["flaky"] == pytest.approx(2 * REQUESTS, abs=2)
        retries = sent["flaky"] / REQUESTS - 1

        success, p99 = "service:nodeagent_success:ratio_rate5m", "service:nodeagent_request_duration_seconds:p99_rate5m"
        for name, rate in (("steady", 1.0), ("slow", 1.0), ("flaky", 1.0), ("halves", 0.5)):
            recorded(success, rate, service=f"/svc/{name}")
        recorded("service:nodeagent_retries:ratio_rate5m", retries, 0.1, service="/svc/flaky")
        recorded("service:nodeagent_retries:ratio_rate5m", 0.0, service="/svc/steady")
        # A bucket ends at two and a half times of where it begins at most, and this machine may be slow itself.
        between(p99, 0.2, max(0.5, 2.5 * slowest["slow"]), service="/svc/slow")
        between(p99, 0.0, max(0.2, 2.5 * slowest["steady"]), service="/svc/steady")
        took = "sum(rate(nodeagent_service_request_duration_seconds_{}{{service='/svc/slow'}}[5m]))"
        between(f"{took.format('sum')} / {took.format('count')}", SLOW - 0.01, max(SLOW + 0.1, slowest["slow"]))
        actual = 'sum(nodeagent_client_requests_total{client="/#/fs/flaky"})'
        effective = 'sum(nodeagent_service_requests_total{service="/svc/flaky"})'
        assert (scraper.value(effective), scraper.value(actual)) == (REQUESTS + 1, truth.seen["flaky"])
        state = 'nodeagent_balancer_endpoints{{client="/#/fs/ejecting",state="{}"}}'
        assert [scraper.value(state.format(each)) for each in ("alive", "dead")] == [1, 1]
        of = 'client="/#/fs/ejecting",policy="consecutiveFailures"'
        ejections = scraper.value(f"nodeagent_balancer_ejections_total{{{of}}}")
        assert ejections is not None
        assert 1 <= ejections <= workers
        assert scraper.value('up{job="nodeagent"}') == 1
        assert scraper.value('process_resident_memory_bytes{job="nodeagent"}')
        assert not [rule for rule in rules(scraper) if rule["health"] != "ok"]


def ask_often(agent: Agent, name: str, slowest: dict[str, float]) -> None:
    for _ in range(REQUESTS):
        began = time.perf_counter()
        agent.ask(name)
        slowest[name] = max(slowest.get(name, 0.0), time.perf_counter() - began)


def rules(scraper: Prometheus) -> list[dict[str, str]]:
    return [rule for group in scraper.api("rules")["groups"] for rule in group["rules"]]


@needs_prometheus
@pytest.mark.parametrize("workers", [1, 2])
def test_both_formats_of_a_used_agent_are_clean(tmp_path: Path, workers: int) -> None:
    with scraped(tmp_path, workers) as agent:
        statuses = {name: agent.ask(name) for name in ("steady", "flaky", "halves", "ejecting", 'nobody"\\x')}
        text = fetch(agent.admin, "127.0.0.1", "/metrics")[1]
        answer, modern = fetch(
            agent.admin, "127.0.0.1", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
        json_page = fetch(agent.admin, "127.0.0.1", "/admin/metrics.json")[1]

    assert statuses["steady"] == statuses["flaky"] == 200
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert str(answer.getheader("content-type")).startswith("application/openmetrics-text; version=1.0.0")
    families = list(text_string_to_metric_families(modern))  # type: ignore[no-untyped-call]
    own = [family for family in families if family.name.startswith("nodeagent_")]
    assert not [family.name for family in families if not family.documentation or family.type == "unknown"]
    assert not [each.name for each in own if each.unit != next((u for u in UNITS if each.name.endswith(f"_{u}")), "")]
    names = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    assert names == {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    assert '"rt/out/service/svc/flaky/retries/total":1' in json_page
