"""Several workers hand their spans over each by itself, and are counted together."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.nodeagent.cli.processes import backend, fetch
from tests.nodeagent.collector import Told, collecting
from tests.nodeagent.workers.running import CONFIG, eventually, running

pytestmark = pytest.mark.e2e


def test_spans_of_all_workers_arrive_and_add_up(tmp_path: Path) -> None:
    spans: list[Told] = []
    brought: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        brought.append(request.headers["traceparent"].split("-")[2])
        return 200, "ok"

    with backend(answer) as port, collecting(spans) as collector:
        telemetry = f"telemetry: [{{kind: otlp, endpoint: 'http://127.0.0.1:{collector}', sampleRate: 1}}]\n"
        with running(tmp_path, CONFIG.format(workers=2, backend=port) + telemetry) as agent:
            for _ in range(20):
                assert fetch(agent.port, "users")[0].status == 200
            assert eventually(
                lambda: agent.metric("nodeagent_trace_spans_total", result="exported") >= len(spans) >= 40
            )
            assert eventually(lambda: len([each for each in spans if each.kind == "CLIENT"]) == 20)
            dropped = agent.metric("nodeagent_trace_spans_total", exporter="otlp", result="dropped")

    assert dropped == 0
    assert {each.id for each in spans if each.kind == "CLIENT"} == set(brought)
    servers = {each.id for each in spans if each.kind == "SERVER"}
    assert {each.parent for each in spans if each.kind != "SERVER"} == servers
    assert len(servers) == 20
