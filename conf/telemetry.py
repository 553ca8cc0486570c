"""Where measurements go."""

from __future__ import annotations

from typing import Annotated, ClassVar

from conf.fields import MetricPrefix, UrlPath, about
from conf.section import Kinded, not_yet


class Telemeter(Kinded, frozen=True):
    """An exporter of measurements. `/metrics` on the admin port is always there."""

    absent_kinds: ClassVar = {
        "io.l5d.recentRequests": not_yet("recent requests"),
        "io.l5d.statsd": not_yet("StatsD"),
        "io.l5d.influxdb": not_yet("InfluxDB's line protocol"),
        "io.l5d.zipkin": not_yet("spans to Zipkin"),
        "io.l5d.tracelog": not_yet("spans in the log"),
    }

    experimental: Annotated[bool, about("Accepted, never needed.")] = False


class Prometheus(Telemeter, frozen=True, tag="io.l5d.prometheus"):
    """A page in Prometheus' text format on the admin port."""

    path: Annotated[UrlPath, about("Path of the page.")] = "/admin/metrics/prometheus"
    prefix: Annotated[MetricPrefix, about("Stands before the name of each metric.")] = ""


AnyTelemeter = Prometheus
