"""Where measurements go."""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from conf.fields import HostName, MetricPrefix, StatsdPrefix, UrlPath, about
from conf.telemeter import Telemeter
from conf.tracing import Otlp, TraceLog, Zipkin


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


class CommonMetrics(Telemeter, frozen=True, tag="io.l5d.commonMetrics"):
    """What all pages and exporters of metrics show; it holds whether the kind is named or not."""

    idle_ttl_secs: Annotated[
        int,
        Meta(ge=1, le=7 * 24 * 3600),
        about(
            "How long the numbers of a name are shown after its last request. They go only when its binding has gone, "
            "too: see `idleTtlSecs` of `bindingCache`.",
            why="longer than any scrape interval, and as long as a binding",
            like="linkerd 1.x: as long as the binding",
        ),
    ] = 600


class Statsd(Telemeter, frozen=True, tag="io.l5d.statsd"):
    """Counters, gauges and latencies under linkerd's names, sent to a StatsD server in UDP packets."""

    prefix: Annotated[StatsdPrefix, about("Stands before the name of each metric, with a dot.")] = "linkerd"
    hostname: Annotated[HostName, about("The server, by name or address; a name is resolved again by its TTL.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=1, le=65535), about("UDP port of the server.")] = 8125
    gauge_interval_ms: Annotated[
        int, Meta(ge=100, le=3_600_000), about("How often everything is sent: what was counted since then, and gauges.")
    ] = 10_000
    sample_rate: Annotated[
        float,
        Meta(ge=0.0001, le=1.0),
        about(
            "The part of the latencies that is sent, each with its weight; at least one of each bucket. Counters are "
            "sums, and always exact."
        ),
    ] = 0.01


class InfluxDb(Telemeter, frozen=True, tag="io.l5d.influxdb"):
    """A page in InfluxDB's line protocol on the admin port, `/admin/metrics/influxdb`, for Telegraf to read."""

    path: ClassVar = "/admin/metrics/influxdb"


AnyTelemeter: TypeAlias = Prometheus | CommonMetrics | Statsd | InfluxDb | RecentRequests | Otlp | Zipkin | TraceLog
