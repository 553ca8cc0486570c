"""Spans as Zipkin takes them: JSON, version 2. Pure.

https://zipkin.io/zipkin-api/#/default/post_spans. Caller and agent never share a span, as B3 allows: each has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from nodeagent.telemetry.spans import Kind, Span, Value

PATH = "/api/v2/spans"
HEADERS = {"content-type": "application/json"}

_LOW = (1 << 64) - 1


class ZipkinEncoder:
    """Makes the body of a request to Zipkin."""

    def __init__(self, service_name: str) -> None:
        self._local = {"serviceName": service_name}

    def encode(self, spans: Sequence[Span]) -> bytes:
        """Return a body with these spans: a list."""
        return msgspec.json.encode([self._object(span) for span in spans])

    def join(self, bodies: Sequence[bytes]) -> bytes:
        """Return one list of all; none of them is empty."""
        return b"[%b]" % b",".join(body[1:-1] for body in bodies)

    def _object(self, span: Span) -> dict[str, Any]:
        width = 16 if span.trace_id <= _LOW else 32
        found: dict[str, Any] = {
            "traceId": f"{span.trace_id:0{width}x}",
            "id": f"{span.span_id:016x}",
            "name": span.name,
            "timestamp": int(span.started * 1e6),
            "duration": max(1, round((span.ended - span.started) * 1e6)),  # Zipkin takes 0 for unknown
            "localEndpoint": self._local,
            "tags": {name: _tag(value) for name, value in span.attributes.items()},
        }
        if span.parent_id is not None:
            found["parentId"] = f"{span.parent_id:016x}"
        if span.kind is not Kind.INTERNAL:
            found["kind"] = span.kind.name
        if remote := _remote(span):
            found["remoteEndpoint"] = remote
        if span.error is not None:
            found["tags"]["error"] = span.error
        return found


def _remote(span: Span) -> dict[str, Any]:
    address = span.attributes.get("network.peer.address")
    if not isinstance(address, str) or address.startswith("/"):  # a Unix socket
        return {}
    return {"ipv6" if ":" in address else "ipv4": address, "port": span.attributes["network.peer.port"]}


def _tag(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
