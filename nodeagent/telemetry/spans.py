"""A request that is over as the spans of a trace: its own, one for each attempt, one for waiting for its name. Pure.

    caller's span
      '- GET /svc/users             SERVER     the request
           |- bind                  INTERNAL   only when its name had to be waited for
           |- GET /#/io.l5d.fs/users  CLIENT   an attempt; below it, what its backend records
           '- GET /#/io.l5d.fs/users  CLIENT   a retry, or the second copy of an attempt that took long

Attributes are named by OpenTelemetry's conventions for HTTP
(https://opentelemetry.io/docs/specs/semconv/http/http-spans/), and `nodeagent.*` where those have no name. Query
strings are left out: they may hold secrets, and spans leave the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from random import Random
from typing import Final, NamedTuple, TypeAlias

from nodeagent.telemetry.decision import blame, candidates, show_bytes
from nodeagent.telemetry.exchange import GIVEN_UP, Attempt, Exchange
from nodeagent.telemetry.trace import Trace, carried, is_recorded

Value: TypeAlias = str | int | float | bool | tuple[str, ...]

METHODS: Final = frozenset(
    {b"CONNECT", b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PUT", b"QUERY", b"TRACE"}
)
"""Others are `_OTHER`, so that callers cannot invent values."""

MAX_BRANCHES: Final = 20
"""Concrete names that are told of one name."""


class Kind(Enum):
    """On which side of a call a span is."""

    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


class Span(NamedTuple):
    """One span. Times are in seconds since 1970."""

    trace_id: int
    span_id: int
    parent_id: int | None
    name: str
    kind: Kind
    started: float
    ended: float
    attributes: Mapping[str, Value]
    error: str | None
    """What went wrong, as people read it; None when nothing did."""


def span_count(exchange: Exchange) -> int:
    """How many spans `spans_of` makes of a request."""
    if not is_recorded(exchange.trace):
        return 0
    return 1 + bool(exchange.bound_at) + len(exchange.attempts)


def spans_of(exchange: Exchange, to_epoch: float, rng: Random) -> list[Span]:
    """The spans of a request, its own first; none when it is not recorded.

    `to_epoch` turns trio's clock into seconds since 1970, when added; `rng` gives ids to spans that no backend was
    told of.
    """
    if not is_recorded(exchange.trace):
        return []
    trace = carried(exchange.trace)
    attempts = sorted(exchange.attempts, key=lambda attempt: attempt.started)
    spans = [_own(exchange, trace)]
    if exchange.bound_at:
        spans.append(_binding(exchange, _Below(trace, rng)))
    spans += [_attempt(exchange, attempt, attempts, _Below(trace, rng)) for attempt in attempts]
    return [
        each._replace(started=each.started + to_epoch, ended=max(each.started, each.ended) + to_epoch) for each in spans
    ]


class _Below(NamedTuple):
    """Where the spans below that of the request belong."""

    request: Trace
    rng: Random

    @property
    def new_id(self) -> int:
        return self.rng.getrandbits(64) or 1


def _own(exchange: Exchange, trace: Trace) -> Span:
    known = is_bound(exchange)  # names that lead nowhere are made up by callers
    return Span(
        trace.trace_id,
        trace.span_id,
        trace.parent_id,
        f"{_method(exchange.method)} {exchange.name}" if known else _method(exchange.method),
        Kind.SERVER,
        exchange.received_at,
        exchange.ended_at,
        _of_request(exchange),
        _what_failed(exchange),
    )


def _binding(exchange: Exchange, below: _Below) -> Span:
    return Span(
        below.request.trace_id,
        below.new_id,
        below.request.span_id,
        "bind",
        Kind.INTERNAL,
        exchange.received_at,
        exchange.bound_at,
        _of_binding(exchange),
        None if is_bound(exchange) else exchange.message,
    )


def _attempt(exchange: Exchange, attempt: Attempt, attempts: Sequence[Attempt], below: _Below) -> Span:
    attributes, error = _of_attempt(exchange, attempt, attempts.index(attempt)), _why_failed(attempt)
    if _is_overtaken(attempt, attempts):
        attributes["nodeagent.overtaken"], error = True, None
    return Span(
        below.request.trace_id,
        attempt.span_id or below.new_id,
        below.request.span_id,
        f"{_method(exchange.method)} {attempt.client.show()}",
        Kind.CLIENT,
        attempt.started,
        _end(exchange, attempt),
        attributes,
        error,
    )


def _of_request(exchange: Exchange) -> dict[str, Value]:
    found = _asked(exchange)
    found |= _peer("client", exchange.peer)
    found["nodeagent.router"] = exchange.router
    found["nodeagent.server"] = exchange.server
    if exchange.name is not None:
        found["nodeagent.name"] = exchange.name
    if exchange.status:
        found["http.response.status_code"] = exchange.status
    found["http.request.body.size"] = exchange.received
    found["http.response.body.size"] = exchange.sent
    found["nodeagent.attempts"] = len(exchange.attempts)
    if (whose := blame(exchange)) is not None:
        found["nodeagent.blame"] = whose
    if exchange.error is not None:
        found["error.type"] = exchange.error
    elif exchange.status >= 500:
        found["error.type"] = str(exchange.status)
    elif not exchange.whole:
        found["error.type"] = "cancelled"
    return found


def _of_binding(exchange: Exchange) -> dict[str, Value]:
    found: dict[str, Value] = {"nodeagent.router": exchange.router, "nodeagent.name": exchange.name or ""}
    if exchange.derivation is not None and exchange.derivation.branches:
        found["nodeagent.bound"] = tuple(id_.show() for id_, _ in exchange.derivation.branches[:MAX_BRANCHES])
    elif exchange.error is not None:
        found["error.type"] = exchange.error
    return found


def _of_attempt(exchange: Exchange, attempt: Attempt, number: int) -> dict[str, Value]:
    endpoint = attempt.endpoint
    found = _asked(exchange)
    if exchange.method and exchange.method != b"CONNECT":
        found["url.full"] = f"http://{show_bytes(exchange.authority)}{found['url.path']}"
    found["network.peer.address"] = endpoint.host
    if not endpoint.is_unix:
        found["network.peer.port"] = endpoint.port
    if number and not attempt.copy:
        found["http.request.resend_count"] = number
    if attempt.status:
        found["http.response.status_code"] = attempt.status
    found["nodeagent.client"] = attempt.client.show()
    found["nodeagent.endpoints"] = attempt.endpoints
    found["nodeagent.in_flight"] = attempt.pending
    found["nodeagent.health"] = attempt.health.value
    if attempt.copy:
        found["nodeagent.hedge"] = True
    if attempt.connected is not None:
        found["nodeagent.connect_ms"] = round((attempt.connected - attempt.started) * 1000, 3)
    if drawn := candidates(attempt):
        found["nodeagent.candidates"] = tuple(f"{each['endpoint']} {each['load']:.4g}" for each in drawn)
    if attempt.verdict is not None:
        found["nodeagent.classification"] = attempt.verdict.value
    if attempt.status >= 400:
        found["error.type"] = str(attempt.status)
    elif attempt.error is not None:
        found["error.type"] = "cancelled" if attempt.error == GIVEN_UP else "_OTHER"
    return found


def _asked(exchange: Exchange) -> dict[str, Value]:
    """What the request is, on both sides."""
    found: dict[str, Value] = {}
    method = _method(exchange.method)
    found["http.request.method"] = method
    if method == "_OTHER":
        found["http.request.method_original"] = show_bytes(exchange.method)
    if method != "CONNECT":
        found["url.scheme"] = "http"
        found["url.path"] = show_bytes(exchange.path.partition(b"?")[0])
    host, _, port = show_bytes(exchange.authority).rpartition(":")
    if not host or not port.isdigit():  # an IPv6 address without a port ends in `]`
        host, port = show_bytes(exchange.authority), ""
    if host:
        found["server.address"] = host.strip("[]")
        found["server.port"] = int(port) if port else 80
    return found


def _peer(side: str, shown: str) -> dict[str, Value]:
    """Who calls, from `ip:port`, `[ip]:port` or `unix`."""
    host, colon, port = shown.rpartition(":")
    if not colon or not port.isdigit():
        return {"network.transport": "unix"} if shown == "unix" else {}
    address = host.strip("[]")
    return {f"{side}.address": address, "network.peer.address": address, "network.peer.port": int(port)}


def _method(method: bytes) -> str:
    return method.decode() if method in METHODS else "_OTHER"


def _end(exchange: Exchange, attempt: Attempt) -> float:
    """A tunnel is an attempt for as long as it is open; else it ends with the response's head."""
    is_tunnel = exchange.method == b"CONNECT" and attempt.error is None
    return exchange.ended_at if is_tunnel else attempt.ended


def _what_failed(exchange: Exchange) -> str | None:
    """By the conventions an answer of 4xx is no error of the server's side."""
    if exchange.error is not None and (exchange.status >= 500 or not exchange.status):
        return exchange.message or exchange.error
    if exchange.status >= 500:
        return f"the backend answered {exchange.status}"
    return None if exchange.whole else exchange.message or "its caller did not get all of the answer"


def _why_failed(attempt: Attempt) -> str | None:
    if attempt.error is not None:
        return attempt.error
    return f"the endpoint answered {attempt.status}" if attempt.status >= 400 else None


def _is_overtaken(attempt: Attempt, attempts: Sequence[Attempt]) -> bool:
    """Whether a hedged attempt was given up because its other copy was answered."""
    return attempt.error == GIVEN_UP and any(
        other.copy is not attempt.copy
        and other.error is None
        and other.started <= attempt.ended
        and attempt.started <= other.ended
        for other in attempts
    )


def is_bound(exchange: Exchange) -> bool:
    """Whether its name led anywhere."""
    return exchange.derivation is not None and bool(exchange.derivation.branches)
