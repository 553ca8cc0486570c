"""Telemeters."""

from __future__ import annotations

import pytest

import conf
from conf.telemetry import Prometheus
from tests.conf.texts import MINIMAL, problems


def test_prometheus() -> None:
    text = MINIMAL + "telemetry: [{kind: io.l5d.prometheus}, {kind: prometheus, path: /m, prefix: mesh_}]"

    assert conf.load(text, "l5d").telemetry == (
        Prometheus(path="/admin/metrics/prometheus", prefix=""),
        Prometheus(path="/m", prefix="mesh_"),
    )


@pytest.mark.parametrize("kind", ["recentRequests", "statsd", "influxdb", "zipkin", "tracelog"])
def test_others_come_later(kind: str) -> None:
    (line,) = problems(MINIMAL + f"telemetry: [{{kind: io.l5d.{kind}, experimental: true}}]")

    assert f'telemetry[0].kind: "io.l5d.{kind}" is not provided yet (' in line
