"""Spans as OpenTelemetry's collector takes them: OTLP's messages in protobuf. Pure.

https://opentelemetry.io/docs/specs/otlp/. The messages are OpenTelemetry's own (the extra `otlp`), so this is imported
only where they are wanted. Its exporter is not used: it blocks, so it would need a thread that cannot be cancelled, and
it obeys variables of the environment, those for proxies among them, which may point at this agent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

from nodeagent.telemetry.spans import Kind, Span, Value

PATH = "/v1/traces"
HEADERS = {"content-type": "application/x-protobuf"}

_KINDS = {
    Kind.SERVER: Message.SPAN_KIND_SERVER,
    Kind.CLIENT: Message.SPAN_KIND_CLIENT,
    Kind.INTERNAL: Message.SPAN_KIND_INTERNAL,
}
_SAMPLED, _REMOTE_KNOWN, _REMOTE = 0x1, 0x100, 0x200


class OtlpEncoder:
    """Makes the body of a request to a collector."""

    def __init__(self, resource: Mapping[str, str], version: str) -> None:
        """`resource` says who tells: `service.name` and its like."""
        self._resource = Resource(attributes=_attributes(resource))
        self._scope = InstrumentationScope(name="nodeagent", version=version)

    def encode(self, spans: Sequence[Span]) -> bytes:
        """Return a body with these spans, which are told of as one agent's."""
        scoped = ScopeSpans(scope=self._scope, spans=[_message(span) for span in spans])
        whole = ResourceSpans(resource=self._resource, scope_spans=[scoped])
        return bytes(ExportTraceServiceRequest(resource_spans=[whole]).SerializeToString())

    def join(self, bodies: Sequence[bytes]) -> bytes:
        """Return one body: messages that follow each other are one, with their lists put together (protobuf)."""
        return b"".join(bodies)


def _message(span: Span) -> Message:
    message = Message(
        trace_id=span.trace_id.to_bytes(16, "big"),
        span_id=span.span_id.to_bytes(8, "big"),
        parent_span_id=b"" if span.parent_id is None else span.parent_id.to_bytes(8, "big"),
        flags=_SAMPLED | _REMOTE_KNOWN | (_REMOTE if span.kind is Kind.SERVER and span.parent_id is not None else 0),
        name=span.name,
        kind=_KINDS[span.kind],
        start_time_unix_nano=_nanoseconds(span.started),
        end_time_unix_nano=_nanoseconds(span.ended),
        attributes=_attributes(span.attributes),
    )
    if span.error is not None:
        message.status.code = Status.STATUS_CODE_ERROR
        message.status.message = span.error
    return message


def _attributes(values: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in values.items()]


def _value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case _:
            return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=each) for each in value]))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
