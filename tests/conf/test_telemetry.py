"""Telemeters."""

from __future__ import annotations

import pytest

import conf
from conf.telemetry import Prometheus, RecentRequests
from tests.conf.texts import MINIMAL, problems


def test_prometheus() -> None:
    text = MINIMAL + "telemetry: [{kind: io.l5d.prometheus}, {kind: prometheus, path: /m, prefix: mesh_}]"

    assert conf.load(text, "l5d").telemetry == (
        Prometheus(path="/admin/metrics/prometheus", prefix=""),
        Prometheus(path="/m", prefix="mesh_"),
    )


def test_recent_requests() -> None:
    text = MINIMAL + "telemetry: [{kind: io.l5d.recentRequests, sampleRate: 0.25, capacity: 10}]"

    assert conf.load(text, "l5d").telemetry == (RecentRequests(sample_rate=0.25, capacity=10),)
    [line] = problems(MINIMAL + "telemetry: [{kind: recentRequests, capacity: -1}]")
    assert "telemetry[0].capacity" in line


@pytest.mark.parametrize("kind", ["statsd", "influxdb", "zipkin", "tracelog"])
def test_others_come_later(kind: str) -> None:
    (line,) = problems(MINIMAL + f"telemetry: [{{kind: io.l5d.{kind}, experimental: true}}]")

    assert f'telemetry[0].kind: "io.l5d.{kind}" is not provided yet (' in line
