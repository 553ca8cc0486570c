"""Where measurements go."""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from conf.fields import MetricPrefix, UrlPath, about
from conf.section import Kinded, not_yet


class Telemeter(Kinded, frozen=True):
    """An exporter of measurements. `/metrics` on the admin port is always there."""

    absent_kinds: ClassVar = {
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


class RecentRequests(Telemeter, frozen=True, tag="io.l5d.recentRequests"):
    """Decision records of recent requests, on the admin port; they are kept without this section, too."""

    sample_rate: Annotated[
        float, Meta(ge=0, le=1), about("The part of the requests that is kept.", like="linkerd 1.x: required")
    ] = 1.0
    capacity: Annotated[
        int,
        Meta(ge=0, le=1_000_000),
        about(
            "How many of the latest requests are kept, about 1 KB each, and on top of them a quarter of that of those "
            "before that failed, were tried more than once, took a second or are traced. 0 keeps none.",
            why="minutes of a quiet host, and the failures of a busy one, in 5 MB",
            like="linkerd 1.x: 10",
        ),
    ] = 4096


AnyTelemeter: TypeAlias = Prometheus | RecentRequests
