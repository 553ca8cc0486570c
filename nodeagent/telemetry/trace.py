"""Trace contexts: read what a request brings, write what goes to the backend. Pure; keeps no spans itself.

Three forms carry the same ids:

* W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context-1/): `traceparent`, `tracestate`;
* B3 (https://github.com/openzipkin/b3-propagation): `b3`, or `x-b3-traceid` and its kin;
* linkerd 1.x: `l5d-ctx-trace`, base64 of span, parent, trace and flags, eight bytes each, big-endian, as
  finagle writes them; the 40 bytes that later finagles write for 128-bit trace ids are read too.

When several come, the one that an instrumented application renews wins over the one it merely hands on: W3C,
then B3, then linkerd. Every request goes on with linkerd's form, W3C's, and B3's if it came in that. What is
malformed, all zero, or comes twice is treated as absent: a client can lose its own trace, nothing more.

New trace ids have 64 bits, padded with zeros as W3C asks for such systems, so that all three forms name the
same trace. Its first span has no parent, which linkerd's form says by naming that span itself. `l5d-reqid` is
the short trace id: the lower half, or the upper one should that be zero.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, b2a_base64, hexlify
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from struct import Struct

HEADERS = frozenset(
    {
        *(b"l5d-ctx-trace", b"l5d-reqid", b"l5d-sample", b"traceparent", b"tracestate"),
        *(b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags"),
    }
)
"""Lower-case names of the fields read here. None is forwarded as it came: the lines written replace them."""

_LOW = (1 << 64) - 1
_DEBUG, _SAMPLING_KNOWN, _SAMPLED = 1, 2, 4
_WORDS = Struct(">QQQQ")
_NOT_SAMPLED_WORD = _SAMPLING_KNOWN.to_bytes(8, "big")
_SAMPLED_WORD = (_SAMPLING_KNOWN | _SAMPLED).to_bytes(8, "big")

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_TRACESTATE_KEY = rb"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_TRACESTATE_MEMBER = re.compile(
    _TRACESTATE_KEY + rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_TRACESTATE_MEMBERS = 32
_B3 = re.compile(rb"([0-9a-fA-F]{16}|[0-9a-fA-F]{32})-([0-9a-fA-F]{16})(?:-([01d]))?(?:-([0-9a-fA-F]{16}))?")
_B3_TRACE = re.compile(rb"[0-9a-fA-F]{16}|[0-9a-fA-F]{32}")
_B3_SPAN = re.compile(rb"[0-9a-fA-F]{16}")
_DECISIONS = {b"0": False, b"1": True, b"d": True, b"false": False, b"true": True}
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_NUMBER_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a request stands in its trace.

    Ids are never 0: `trace_id` has up to 128 bits, the others 64. `sampled` is None when nobody has decided
    yet; `debug` asks for recording whatever the rate.
    """

    trace_id: int
    span_id: int
    parent_id: int | None = None
    sampled: bool | None = None
    debug: bool = False


def short_id(trace_id: int) -> int:
    """The 64 bits that stand for a trace where there is no room for 128; never 0."""
    return trace_id & _LOW or trace_id >> 64


def sample_threshold(rate: float) -> bytes:
    """A sampling rate (clamped to 0..1) in the form that `is_sampled` and `root_lines` compare with."""
    if rate >= 1.0:
        return b"\xff" * 17
    return int(max(rate, 0.0) * 2.0**64).to_bytes(8, "big")


def is_sampled(trace_id: int, threshold: bytes) -> bool:
    """Whether to record a trace. It depends on the id alone, so all agents with one rate decide alike."""
    return short_id(trace_id).to_bytes(8, "big") < threshold


def root_lines(rng: Random, threshold: bytes) -> bytes:
    """The header lines of a request that came without any of `HEADERS`: a new trace, sampled by `threshold`.

    This is what nearly every request takes, so it forms the bytes directly, without a Trace in between.
    """
    raw = rng.getrandbits(128).to_bytes(16, "big")
    digits = hexlify(raw, b"-", 8)
    if raw < threshold:
        flags_word, flags = _SAMPLED_WORD, b"01"
    else:
        flags_word, flags = _NOT_SAMPLED_WORD, b"00"
    span = raw[8:]
    return b"l5d-ctx-trace: %b\r\nl5d-reqid: %b\r\ntraceparent: 00-0000000000000000%b-%b\r\n" % (
        b2a_base64(span + span + raw[:8] + flags_word, newline=False),
        digits[:16],
        digits,
        flags,
    )


_ID_LINE_AT = len(b"l5d-ctx-trace: ") + 44 + len(b"\r\n")
_ID_AT = _ID_LINE_AT + len(b"l5d-reqid: ")
_ID_END = _ID_AT + 16
_FLAGS_AT = _ID_END + len(b"\r\ntraceparent: ") + 53

# Made once: each of them is cut for each request.
_ID_LINE = slice(_ID_LINE_AT, _ID_END + len(b"\r\n"))
_ID = slice(_ID_AT, _ID_END)
_FLAGS = slice(_FLAGS_AT, _FLAGS_AT + 2)


def request_id(lines: bytes) -> bytes:
    """The `l5d-reqid` within what `root_lines` or `continued_lines` returned: 16 hex digits."""
    return lines[_ID]


def request_id_line(lines: bytes) -> bytes:
    """The whole line of it, by which a caller can ask about its request; empty when no trace is carried on."""
    return lines[_ID_LINE]


def is_recorded(lines: bytes) -> bool:
    """Whether the trace that such lines carry on is recorded; not when there are none."""
    return lines[_FLAGS] == b"01"


def continued_lines(headers: Iterable[tuple[bytes, bytes]], rng: Random, threshold: bytes) -> bytes:
    """The header lines of a request that brought some of `HEADERS`: its trace, one span further.

    Names may be in any case. On sampling `l5d-sample` decides, else who decided before, else `threshold`.
    """
    received: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if (key := name.lower()) in HEADERS:
            received.setdefault(key, []).append(value)
    single = {name: values[0] for name, values in received.items() if len(values) == 1}
    w3c = parse_traceparent(single[b"traceparent"]) if b"traceparent" in single else None
    trace = _next(w3c or _received(single), single, rng, threshold)
    state = parse_tracestate(received.get(b"tracestate", ())) if w3c else b""
    return _lines(trace, state, b3=b"b3" in received, b3_fields=b"x-b3-traceid" in received)


def carried(lines: bytes) -> Trace:
    """Where the request stands that goes on with the `lines` that `root_lines` or `continued_lines` returned."""
    return _carried(_fields(lines))


def child_lines(lines: bytes, span_id: int) -> bytes:
    """The same trace in the same forms, one span further, which is `span_id`."""
    fields = _fields(lines)
    parent = _carried(fields)
    child = replace(parent, span_id=span_id, parent_id=parent.span_id)
    state = fields.get(b"tracestate", b"")
    return _lines(child, state, b3=b"b3" in fields, b3_fields=b"x-b3-traceid" in fields)


def _fields(lines: bytes) -> dict[bytes, bytes]:
    pairs = (line.partition(b": ") for line in lines.split(b"\r\n")[:-1])
    return {name: value for name, _, value in pairs}


def _carried(fields: dict[bytes, bytes]) -> Trace:
    trace, whole = parse_l5d(fields[b"l5d-ctx-trace"]), parse_traceparent(fields[b"traceparent"])
    if trace is None or whole is None:
        raise AssertionError("these lines were not written here")
    return replace(trace, trace_id=whole.trace_id)


def _lines(trace: Trace, state: bytes, *, b3: bool, b3_fields: bool) -> bytes:
    lines = b"l5d-ctx-trace: %b\r\nl5d-reqid: %016x\r\ntraceparent: %b\r\n" % (
        write_l5d(trace),
        short_id(trace.trace_id),
        write_traceparent(trace),
    )
    if state:
        lines += b"tracestate: %b\r\n" % state
    if b3:
        lines += b"b3: %b\r\n" % write_b3(trace)
    if b3_fields:
        lines += b"".join(b"%b: %b\r\n" % field for field in write_b3_fields(trace))
    return lines


def _received(single: dict[bytes, bytes]) -> Trace | bool | None:
    b3 = parse_b3(single.get(b"b3", b""))
    if b3 is None:
        b3 = parse_b3_fields(single)
    if not isinstance(b3, Trace) and (trace := parse_l5d(single.get(b"l5d-ctx-trace", b""))):
        return trace if b3 is None else replace(trace, sampled=b3)
    return b3


def _next(received: Trace | bool | None, single: dict[bytes, bytes], rng: Random, threshold: bytes) -> Trace:
    """The span after `received`, with sampling decided."""
    span_id = rng.getrandbits(64) or 1
    if isinstance(received, Trace):
        trace_id, parent_id = received.trace_id, received.span_id
        sampled, debug = received.sampled, received.debug
    else:
        trace_id, parent_id = rng.getrandbits(64) or 1, None
        sampled, debug = received, False
    rate = parse_sample(single[b"l5d-sample"]) if b"l5d-sample" in single else None
    if rate is not None:
        sampled = is_sampled(trace_id, sample_threshold(rate))
    elif sampled is None:
        sampled = debug or is_sampled(trace_id, threshold)
    return Trace(trace_id, span_id, parent_id, sampled, debug)


def parse_sample(value: bytes) -> float | None:
    """`l5d-sample`: a rate, clamped to 0..1; None when it is no number."""
    if len(value) > _NUMBER_LENGTH or not _NUMBER.fullmatch(value):
        return None
    return min(max(float(value), 0.0), 1.0)


def parse_l5d(value: bytes) -> Trace | None:
    """`l5d-ctx-trace`, padding optional as in Java's decoder."""
    try:
        raw = a2b_base64(value + b"=" * (-len(value) % 4), strict_mode=True)
    except Error:
        return None
    if len(raw) not in (32, 40):
        return None
    span_id, parent_id, trace_id, flags = _WORDS.unpack(raw[:32])
    trace_id |= int.from_bytes(raw[32:], "big") << 64
    if not (trace_id and span_id):
        return None
    # finagle writes a root as its own parent.
    parent = parent_id if parent_id not in (0, span_id) else None
    sampled = bool(flags & _SAMPLED) if flags & _SAMPLING_KNOWN else None
    return Trace(trace_id, span_id, parent, sampled, bool(flags & _DEBUG))


def write_l5d(trace: Trace) -> bytes:
    """The value of `l5d-ctx-trace`, in 32 bytes: of a 128-bit trace id only the short one."""
    flags = _DEBUG if trace.debug else 0
    if trace.sampled is not None:
        flags |= _SAMPLING_KNOWN | (_SAMPLED if trace.sampled else 0)
    parent = trace.span_id if trace.parent_id is None else trace.parent_id
    return b2a_base64(_WORDS.pack(trace.span_id, parent, short_id(trace.trace_id), flags), newline=False)


def parse_traceparent(value: bytes) -> Trace | None:
    """`traceparent` of version 00, or what a later version is bound to keep of it."""
    match = _TRACEPARENT.fullmatch(value)
    if match is None:
        return None
    version, trace, span, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    return _valid(Trace(int(trace, 16), int(span, 16), sampled=bool(int(flags, 16) & 1)))


def write_traceparent(trace: Trace) -> bytes:
    """The value of `traceparent`, version 00. It has no open decision: that is written as not sampled."""
    return b"00-%032x-%016x-%02x" % (trace.trace_id, trace.span_id, bool(trace.sampled))


def parse_tracestate(values: Sequence[bytes]) -> bytes:
    """All `tracestate` fields as one value; b"" when there is none or any member of it is malformed."""
    members = [member.strip(b" \t") for value in values for member in value.split(b",")]
    members = [member for member in members if member]
    if len(members) > _TRACESTATE_MEMBERS or not all(map(_TRACESTATE_MEMBER.fullmatch, members)):
        return b""
    return b",".join(members)


def parse_b3(value: bytes) -> Trace | bool | None:
    """The single `b3` field: a trace, or a bare sampling decision (`0`, `1`, `d`)."""
    if value in (b"0", b"1", b"d"):
        return _DECISIONS[value]
    match = _B3.fullmatch(value)
    if match is None:
        return None
    trace, span, decision, parent = match.groups()
    sampled = None if decision is None else _DECISIONS[decision]
    parent_id = int(parent, 16) or None if parent else None
    return _valid(Trace(int(trace, 16), int(span, 16), parent_id, sampled, decision == b"d"))


def write_b3(trace: Trace) -> bytes:
    """The value of the single `b3` field."""
    fields = dict(write_b3_fields(trace))
    parts = [fields[b"x-b3-traceid"], fields[b"x-b3-spanid"]]
    if trace.debug:
        parts.append(b"d")
    elif trace.sampled is not None:
        parts.append(fields[b"x-b3-sampled"])
    if trace.parent_id is not None:
        parts.append(fields[b"x-b3-parentspanid"])
    return b"-".join(parts)


def parse_b3_fields(fields: dict[bytes, bytes]) -> Trace | bool | None:
    """The `x-b3-*` fields, by lower-case name: a trace, or a bare sampling decision."""
    debug = fields.get(b"x-b3-flags") == b"1"
    sampled = True if debug else _DECISIONS.get(fields.get(b"x-b3-sampled", b"").lower())
    trace, span = fields.get(b"x-b3-traceid", b""), fields.get(b"x-b3-spanid", b"")
    if not (trace or span):
        return sampled
    if not (_B3_TRACE.fullmatch(trace) and _B3_SPAN.fullmatch(span)):
        return None
    parent = fields.get(b"x-b3-parentspanid", b"")
    parent_id = int(parent, 16) or None if _B3_SPAN.fullmatch(parent) else None
    return _valid(Trace(int(trace, 16), int(span, 16), parent_id, sampled, debug))


def write_b3_fields(trace: Trace) -> list[tuple[bytes, bytes]]:
    """The `x-b3-*` fields. Debug is written in place of a decision, as B3 has it."""
    width = 16 if trace.trace_id <= _LOW else 32
    fields = [
        (b"x-b3-traceid", b"%0*x" % (width, trace.trace_id)),
        (b"x-b3-spanid", b"%016x" % trace.span_id),
    ]
    if trace.parent_id is not None:
        fields.append((b"x-b3-parentspanid", b"%016x" % trace.parent_id))
    if trace.debug:
        fields.append((b"x-b3-flags", b"1"))
    elif trace.sampled is not None:
        fields.append((b"x-b3-sampled", b"%d" % trace.sampled))
    return fields


def _valid(trace: Trace) -> Trace | None:
    return trace if trace.trace_id and trace.span_id else None
