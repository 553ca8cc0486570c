"""A collector of spans: a real HTTP server, whose requests are read by what reads them elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from tests.nodeagent.cli.processes import serving
from tests.nodeagent.proxy.world import Backend

TAKEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Told:
    """A span as a collector understands it."""

    trace: str
    id: str
    parent: str
    name: str
    kind: str
    attributes: dict[str, Any]
    error: str | None
    started: float
    ended: float
    resource: dict[str, Any] = field(default_factory=dict)


class Collector(Backend):
    """Takes what it is sent; `spans` are those of all requests so far."""

    def __init__(self, *replies: Any) -> None:
        super().__init__(replies or (TAKEN,))

    @property
    def spans(self) -> list[Told]:
        return [span for request in self.seen for span in read(request)]

    def of(self, kind: str) -> list[Told]:
        """Its spans of one kind, in the order in which they began."""
        return sorted((each for each in self.spans if each.kind == kind), key=lambda each: each.started)


@contextmanager
def collecting(spans: list[Told]) -> Iterator[int]:
    """A collector in threads, for tests without trio: its port, while it adds to `spans` what it is sent."""

    class Collecting(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            spans.extend(read_zipkin(body) if self.path.startswith("/api/v2") else read_otlp(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Collecting)) as server:
        yield server.server_port


def read(request: bytes) -> list[Told]:
    """The spans that a request brings, as OTLP or for Zipkin."""
    head, _, body = request.partition(b"\r\n\r\n")
    if head.startswith(b"POST /v1/traces HTTP/1.1\r\n"):
        assert b"\r\ncontent-type: application/x-protobuf\r\n" in head.lower() + b"\r\n"
        return read_otlp(body)
    assert head.startswith(b"POST /api/v2/spans HTTP/1.1\r\n"), head
    assert b"\r\ncontent-type: application/json\r\n" in head.lower() + b"\r\n"
    return read_zipkin(body)


def read_otlp(body: bytes) -> list[Told]:
    message = ExportTraceServiceRequest.FromString(body)
    return [
        Told(
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.name,
            OtlpSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
            {each.key: _value(each.value) for each in span.attributes},
            span.status.message if span.status.code == span.status.STATUS_CODE_ERROR else None,
            span.start_time_unix_nano / 1e9,
            span.end_time_unix_nano / 1e9,
            {each.key: _value(each.value) for each in whole.resource.attributes},
        )
        for whole in message.resource_spans
        for scoped in whole.scope_spans
        for span in scoped.spans
    ]


def read_zipkin(body: bytes) -> list[Told]:
    return [
        Told(
            each["traceId"].rjust(32, "0"),
            each["id"],
            each.get("parentId", ""),
            each["name"],
            each.get("kind", "INTERNAL"),
            each["tags"],
            each["tags"].get("error"),
            each["timestamp"] / 1e6,
            (each["timestamp"] + each["duration"]) / 1e6,
            each["localEndpoint"],
        )
        for each in json.loads(body)
    ]


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, str(kind))
