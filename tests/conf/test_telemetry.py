"""Telemeters."""

from __future__ import annotations

import pytest

import conf
from conf.telemetry import CommonMetrics, InfluxDb, Prometheus, RecentRequests, Statsd
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


def test_statsd_as_in_linkerds_documents() -> None:
    keys = "experimental: true, prefix: l5d, hostname: stats.local, port: 8126, gaugeIntervalMs: 5000, sampleRate: 0.5"
    text = MINIMAL + f"telemetry: [{{kind: io.l5d.statsd, {keys}}}, {{kind: statsd, hostname: '::1'}}]"

    assert conf.load(text, "l5d").telemetry == (
        Statsd(
            experimental=True,
            prefix="l5d",
            hostname="stats.local",
            port=8126,
            gauge_interval_ms=5000,
            sample_rate=0.5,
        ),
        Statsd(prefix="linkerd", hostname="::1", port=8125, gauge_interval_ms=10_000, sample_rate=0.01),
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hostname", '"two words"'),
        ("prefix", '"a:b"'),
        ("port", "0"),
        ("gaugeIntervalMs", "99"),
        ("sampleRate", "0"),
        ("sampleRate", "1.1"),
    ],
)
def test_what_statsd_cannot_have_is_an_error(key: str, value: str) -> None:
    (line,) = problems(MINIMAL + f"telemetry: [{{kind: io.l5d.statsd, {key}: {value}}}]")

    assert f"telemetry[0].{key}: " in line


def test_common_metrics_hold_whether_they_are_named_or_not() -> None:
    named = conf.load(MINIMAL + "telemetry: [{kind: io.l5d.commonMetrics, idleTtlSecs: 60}]", "l5d")

    assert conf.load(MINIMAL, "l5d").common_metrics == CommonMetrics(idle_ttl_secs=600)
    assert named.common_metrics == CommonMetrics(idle_ttl_secs=60)


def test_common_metrics_are_named_once() -> None:
    text = MINIMAL + "telemetry: [{kind: commonMetrics}, {kind: commonMetrics}]"

    assert problems(text) == ["l5d:2:36: telemetry[1]: there is one io.l5d.commonMetrics already, telemetry[0]"]


def test_the_page_for_influxdb_is_a_page_as_others() -> None:
    text = MINIMAL + "telemetry: [{kind: prometheus, path: /admin/metrics/influxdb}, {kind: io.l5d.influxdb}]"

    assert conf.load(MINIMAL + "telemetry: [{kind: influxdb}]", "l5d").telemetry == (InfluxDb(),)
    assert problems(text) == ["l5d:2:38: telemetry[0].path: /admin/metrics/influxdb is taken by telemetry[1]"]
