"""Tracing as configured: which fields a router sends on, and where spans go."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeAlias

from conf.section import short_kind
from conf.telemetry import AnyTelemeter
from conf.tracing import Otlp, TraceLog, Zipkin
from namer.addr import show_address
from nodeagent import __version__
from nodeagent.proxy.attemptspan import Around, as_they_are, under_own_spans
from nodeagent.proxy.messages import block_of
from nodeagent.telemetry.exchange import Exchange
from nodeagent.telemetry.export import Deliver, SpanExporter, into_the_log, over_http
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.spans import Span, spans_of
from nodeagent.telemetry.trace import (
    HEADERS,
    carried,
    continued_lines,
    root_lines,
    sample_threshold,
    write_b3_fields,
)

SAMPLE_RATE = 0.001
"""Of the traces that begin here, where no exporter says otherwise; a caller's decision, or l5d-sample, is followed."""

AnySpanTelemeter: TypeAlias = Otlp | Zipkin | TraceLog


@dataclass(frozen=True, slots=True)
class Tracing:
    """What the exporters of a configuration come to."""

    rate: float = SAMPLE_RATE
    """The part of the traces begun here that is recorded."""
    around: Around = as_they_are
    """What stands around each attempt."""
    exporters: tuple[SpanExporter, ...] = ()


def make_tracing(
    telemeters: Iterable[AnyTelemeter], rng: random.Random, stats: Registry, to_epoch: Callable[[], float]
) -> Tracing:
    """Return the tracing that is configured. `to_epoch` tells what turns trio's clock into seconds since 1970."""
    configs = [each for each in telemeters if isinstance(each, AnySpanTelemeter)]
    if not configs:
        return Tracing()

    def spans(exchange: Exchange) -> list[Span]:
        return spans_of(exchange, to_epoch(), rng)

    exporters = tuple(
        SpanExporter(_whereto(each), _way(each), spans_of=spans, counts=stats.spans(short_kind(each.kind)))
        for each in configs
    )
    return Tracing(max(each.sample_rate for each in configs), under_own_spans(rng), exporters)


def _whereto(config: AnySpanTelemeter) -> str:
    match config:
        case Otlp():
            return config.endpoint
        case Zipkin():
            return _zipkin_url(config)
        case TraceLog():
            return "log"


def _way(config: AnySpanTelemeter) -> Callable[[], AbstractAsyncContextManager[Deliver]]:
    match config:
        case Otlp():
            from nodeagent.telemetry import otlp  # protobuf: only where it is used

            who = {
                "service.name": config.service_name,
                "service.version": __version__,
                "host.name": socket.gethostname(),
            }
            encoder = otlp.OtlpEncoder(who, __version__)
            headers = {**(config.headers or {}), **otlp.HEADERS}
            return over_http(config.endpoint, otlp.PATH, encoder, headers=headers, timeout=config.timeout_ms / 1000)
        case Zipkin():
            from nodeagent.telemetry import zipkin

            json = zipkin.ZipkinEncoder(config.service_name)
            return over_http(
                _zipkin_url(config), zipkin.PATH, json, headers=zipkin.HEADERS, timeout=config.timeout_ms / 1000
            )
        case TraceLog():
            return into_the_log(config.level)


def _zipkin_url(config: Zipkin) -> str:
    return f"http://{show_address(config.host, config.port)}"


def make_trace(rng: random.Random, *, b3: bool, rate: float = SAMPLE_RATE) -> Callable[[Mapping[bytes, bytes]], bytes]:
    """Return what turns a request's special fields into the field lines that carry its trace on.

    With `b3` (linkerd's `io.l5d.zipkin`) the B3 fields are among them, whether or not they came. `rate` is the part of
    new traces that is sampled.
    """
    threshold = sample_threshold(rate)

    def trace(special: Mapping[bytes, bytes]) -> bytes:
        if not special or HEADERS.isdisjoint(special):
            return root_lines(rng, threshold)
        return continued_lines(special.items(), rng, threshold)

    def trace_with_b3(special: Mapping[bytes, bytes]) -> bytes:
        fields = trace(special)
        if b"b3" in special or b"x-b3-traceid" in special:
            return fields
        return fields + block_of(name + b": " + value for name, value in write_b3_fields(carried(fields)))

    return trace_with_b3 if b3 else trace
