"""Exporters of spans."""

from __future__ import annotations

import json

import pytest

import conf
from conf.effective import effective
from conf.tracing import Otlp, TraceLog, Zipkin
from tests.conf.texts import MINIMAL, problems


def test_by_linkerds_names_and_short_ones() -> None:
    text = MINIMAL + "telemetry: [{kind: io.l5d.zipkin, experimental: true}, {kind: otlp}, {kind: tracelog}]"

    assert conf.load(text, "l5d").telemetry == (Zipkin(experimental=True), Otlp(), TraceLog())
    assert [each.sample_rate for each in (Zipkin(), Otlp(), TraceLog())] == [0.001, 0.001, 1.0]


def test_all_keys() -> None:
    text = (
        "telemetry:\n"
        "- {kind: otlp, endpoint: 'https://otel.example:4318/x/', sampleRate: 0.5, headers: {api-key: abc},\n"
        "   serviceName: edge, timeoutMs: 500}\n"
        "- {kind: zipkin, host: zipkin, port: 80, sampleRate: 1, serviceName: edge, timeoutMs: 500}\n"
        "- {kind: tracelog, sampleRate: 0, level: DEBUG}\n"
    )

    assert conf.load(MINIMAL + text, "l5d").telemetry == (
        Otlp(
            sample_rate=0.5,
            endpoint="https://otel.example:4318/x",
            headers={"api-key": "abc"},
            service_name="edge",
            timeout_ms=500,
        ),
        Zipkin(sample_rate=1.0, host="zipkin", port=80, service_name="edge", timeout_ms=500),
        TraceLog(sample_rate=0.0, level="DEBUG"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{kind: otlp, endpoint: '127.0.0.1:4318'}", "endpoint: expected a URL such as http://127.0.0.1:4318"),
        ("{kind: otlp, endpoint: 'ftp://host'}", "endpoint: expected a URL"),
        ("{kind: otlp, endpoint: 'http://user@host'}", "endpoint: expected a URL"),
        ("{kind: otlp, endpoint: 'http://host:99999'}", "endpoint: expected a URL"),
        ("{kind: otlp, headers: {'a b': c}}", 'headers["a b"]: expected the name of a header'),
        ("{kind: otlp, sampleRate: 2}", "sampleRate: 2 is out of range"),
        ("{kind: zipkin, timeoutMs: 0}", "timeoutMs: 0 is out of range"),
        ("{kind: tracelog, level: LOUD}", "level: expected one of DEBUG, INFO, WARNING, ERROR"),
    ],
)
def test_what_is_wrong(text: str, message: str) -> None:
    (line,) = problems(MINIMAL + f"telemetry: [{text}]")

    assert f"telemetry[0].{message}" in line


def test_what_is_not_installed_is_said_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conf.tracing.OTLP_PACKAGE", "not_there.at_all")
    (line,) = problems(MINIMAL + "telemetry:\n- kind: io.l5d.otlp\n")

    assert "telemetry[0].kind: needs what is not installed: pip install 'nodeagent[otlp]'" in line


def test_headers_are_secret() -> None:
    config = conf.load(MINIMAL + "telemetry: [{kind: otlp, headers: {api-key: hush}}]", "l5d")

    shown = json.dumps(effective(config))

    assert '"headers": {"api-key": {"value": "redacted", "origin": "l5d:2"}}' in shown
    assert "hush" not in shown
