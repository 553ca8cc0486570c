"""Where spans go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta

from conf.fields import HeaderName, Millis, Port, Ratio, Reader, Secret, Text, about, one_of
from conf.telemeter import Telemeter

OTLP_PACKAGE: Final = "opentelemetry.proto"
"""What writes OTLP's messages: installed by the extra `otlp`."""

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError
    _ = parts.port  # raises ValueError beyond 65535
    return text.rstrip("/")


Url = Annotated[str, Meta(extra={"reader": Reader("a URL such as http://127.0.0.1:4318", _url)})]
_SAMPLED: Final = (
    "The part of the traces begun here that is recorded. A caller's own decision, or its `l5d-sample`, is followed. "
    "Of several exporters the largest rate holds, and all get the same spans."
)
SampleRate = Annotated[Ratio, about(_SAMPLED, why="enough to see how a busy host does, and nothing that costs")]
ServiceName = Annotated[Text, about("What the agent is called in traces.", like="OpenTelemetry's `OTEL_SERVICE_NAME`")]
Timeout = Annotated[
    Millis,
    about(
        "How long the collector may take to answer. What it does not take is tried again, three times.",
        why="OpenTelemetry's own default",
        like="OpenTelemetry's `OTEL_EXPORTER_OTLP_TIMEOUT`",
    ),
]


class SpanTelemeter(Telemeter, frozen=True):
    """An exporter of spans."""

    sample_rate: SampleRate = 0.001


class Otlp(SpanTelemeter, frozen=True, tag="io.l5d.otlp"):
    """Spans to OpenTelemetry's collector, and all that speak its protocol: OTLP over HTTP, in protobuf.

    Needs the extra `otlp`: `pip install 'nodeagent[otlp]'`. OpenTelemetry's variables of the environment are not read.
    """

    endpoint: Annotated[
        Url,
        about(
            "Where the collector listens; `/v1/traces` is appended. With https its certificate is checked against the "
            "system's, or those of `SSL_CERT_FILE`.",
            why="one on each host, as OpenTelemetry has it",
            like="OpenTelemetry's `OTEL_EXPORTER_OTLP_ENDPOINT`",
        ),
    ] = "http://127.0.0.1:4318"
    headers: Annotated[
        Mapping[HeaderName, Secret] | None,
        about(
            "Fields that go along, such as a key.", like="OpenTelemetry's `OTEL_EXPORTER_OTLP_HEADERS`", unset="none"
        ),
    ] = None
    service_name: ServiceName = "nodeagent"
    timeout_ms: Timeout = 10_000

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if not _is_installed(OTLP_PACKAGE):
            yield "kind", "needs what is not installed: pip install 'nodeagent[otlp]'"


class Zipkin(SpanTelemeter, frozen=True, tag="io.l5d.zipkin"):
    """Spans to Zipkin, and all that understand its JSON (version 2), by POST to `/api/v2/spans`."""

    host: Annotated[Text, about("The host that Zipkin listens on.")] = "localhost"
    port: Annotated[
        Port,
        about("The port of its HTTP interface.", why="Zipkin's own", like="linkerd 1.x: 9410, its scribe collector"),
    ] = 9411
    service_name: ServiceName = "nodeagent"
    timeout_ms: Timeout = 10_000


class TraceLog(SpanTelemeter, frozen=True, tag="io.l5d.tracelog"):
    """Spans in the agent's own log, one line each."""

    sample_rate: Annotated[Ratio, about(_SAMPLED, why="who reads the log is looking for something")] = 1.0
    level: Annotated[str, one_of(*LEVELS), about("The level of these lines.")] = "INFO"


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even what it is within
        return False
