"""A request as a decision record: its name, the rules, the candidates, how it went, who is to blame. Pure.

The object of `/requests.json` and of all who tell of single requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import inf
from typing import Any, Final, TypeAlias

from balancer.accrual import Health
from balancer.response_class import ResponseClass
from nodeagent.telemetry.exchange import Attempt, Exchange
from nodeagent.telemetry.trace import parse_traceparent, request_id

Json: TypeAlias = dict[str, Any]

MAX_STEPS: Final = 100
"""Rewrites that are shown of one name."""

BLAME: Final = {
    "http_request_error": "caller",
    "http_request_denied": "policy",
    "destination_ip_prohibited": "policy",
    "destination_not_found": "naming",
    "dns_timeout": "naming",
    "destination_unavailable": "no endpoint",
    "connection_limit_reached": "shed",
    "connection_refused": "connect",
    "connection_timeout": "connect",
    "tls_protocol_error": "connect",
    "tls_certificate_error": "connect",
    "http_response_timeout": "timeout",
    "http_response_incomplete": "upstream",
    "http_protocol_error": "upstream",
    "proxy_loop_detected": "loop",
    "proxy_internal_error": "agent",
}
"""Who a request failed by, for each error of the agent's own (RFC 9209)."""


def blame(exchange: Exchange) -> str | None:
    """Whose fault it is that a request failed, in one word or two; None when it did not."""
    if exchange.error is not None:
        return BLAME.get(exchange.error, "agent")
    if exchange.status >= 500:
        return "upstream"
    return None if exchange.whole else "caller"


def classification(exchange: Exchange) -> str:
    """`success` or `failure`, as the metrics of its name count it; but for an answer that broke off, which is a failure
    here, and was counted when it began."""
    return "success" if exchange.verdict is ResponseClass.SUCCESS and exchange.whole else "failure"


def show_exchange(exchange: Exchange, to_epoch: float) -> Json:
    """The record of a request. `to_epoch` turns trio's clock into seconds since 1970, when added."""
    began = exchange.received_at
    trace = parse_traceparent(traceparent(exchange.trace))
    attempts = in_order(exchange)
    last = answering(exchange, attempts)
    steps = () if exchange.derivation is None else exchange.derivation.steps
    return {
        "id": request_id(exchange.trace).decode() or None,
        "trace": trace_id(exchange),
        "span": None if trace is None else f"{trace.span_id:016x}",
        "time": show_time(began + to_epoch),
        "router": exchange.router,
        "server": exchange.server,
        "caller": exchange.peer,
        "identity": exchange.identity,
        "method": show_bytes(exchange.method),
        "url": url(exchange),
        "name": exchange.name,
        "rule": _rule(exchange),
        "policy": None if exchange.policy is None else exchange.policy.show(),
        "dtab": None if exchange.dtab is None else exchange.dtab.show(),
        "steps": [
            {"path": step.path, "dentry": step.dentry, "to": step.to, "result": step.result}
            for step in steps[:MAX_STEPS]
        ],
        "branches": [
            {"id": id_.show(), "weight": weight}
            for id_, weight in (() if exchange.derivation is None else exchange.derivation.branches)
        ],
        "candidates": [] if last is None else candidates(last),
        "choice": None if last is None else last.endpoint.show(),
        "attempts": [_attempt(attempt, began) for attempt in attempts],
        "retry_budget": exchange.budget,
        "deadline_ms": None if exchange.deadline == inf else milliseconds(exchange.deadline - began),
        "status": exchange.status or None,
        "classification": classification(exchange),
        "error": exchange.error,
        "message": exchange.message,
        "blame": blame(exchange),
        "timings_ms": timings(exchange),
        "bytes_received": exchange.received,
        "bytes_sent": exchange.sent,
        "whole": exchange.whole,
    }


def timings(exchange: Exchange) -> Json:
    """How long it took, by stage, in milliseconds.

    `bind` is until the first attempt: naming, and waiting for a turn; `connect` and `wait` are of the attempt that
    was answered, for a connection and for the response's head; `answer` is until the answer was known, `total` all.
    """
    began = exchange.received_at
    attempts = in_order(exchange)
    last = answering(exchange, attempts)
    connected = None if last is None else last.connected
    return {
        "bind": milliseconds((attempts[0].started if attempts else exchange.answered_at) - began),
        "connect": None if last is None or connected is None else milliseconds(connected - last.started),
        "wait": None if last is None or connected is None else milliseconds(last.ended - connected),
        "answer": milliseconds(exchange.answered_at - began),
        "total": milliseconds(exchange.ended_at - began),
    }


def summary(record: Json) -> str:
    """Say in a sentence why a request went where it did, of its record."""
    attempts, policy = record["attempts"], record["policy"]
    if policy is not None and policy["verdict"] == "deny":
        return f"{record['message']}, by {policy['rule']}"
    if not attempts:
        return record["message"] or "it never got to an endpoint"
    last = next((each for each in reversed(attempts) if each["endpoint"] == record["choice"]), attempts[-1])
    return f"{last['endpoint']}, {why(last)}"


def why(attempt: Mapping[str, Any]) -> str:
    """Say why an attempt went to its endpoint, of its part of a record."""
    others = [each for each in attempt["candidates"] if not each["chosen"]]
    if attempt["trial"]:
        return "a trial of an endpoint that had failed"
    if others:
        loads = ", ".join(f"{each['endpoint']} {each['load']:.4g}" for each in others)
        own = next(each["load"] for each in attempt["candidates"] if each["chosen"])
        return f"the least load of those drawn: {own:.4g} against {loads}"
    if attempt["endpoints"] == 1:
        return "its only endpoint"
    return f"chosen among {attempt['endpoints']} without comparing loads"


def show_time(seconds: float) -> str:
    """A moment in UTC (RFC 3339), to the millisecond."""
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


@lru_cache(8)
def _second(second: int) -> str:
    """A second without its zone: who shows many requests shows some seconds many times."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def show_bytes(raw: bytes) -> str:
    """What came over the wire as printable ASCII: other bytes as `\\xNN`, so that no line or terminal breaks on it."""
    text = raw.decode("latin-1")
    if raw.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in raw)


def url(exchange: Exchange) -> str:
    """What was asked for: a URL, or HOST:PORT for CONNECT."""
    authority, path = show_bytes(exchange.authority), show_bytes(exchange.path)
    if not exchange.method or exchange.method == b"CONNECT":
        return authority
    return f"http://{authority}{path}"


def traceparent(lines: bytes) -> bytes:
    """The value of `traceparent` within the field lines that carry a trace on."""
    return lines.partition(b"\r\ntraceparent: ")[2].partition(b"\r\n")[0]


def trace_id(exchange: Exchange) -> str | None:
    """The 32 hexadecimal digits of its trace; None when it has none."""
    return traceparent(exchange.trace)[3:35].decode() or None


def in_order(exchange: Exchange) -> Sequence[Attempt]:
    """The attempts as they began: a second copy may have ended before the first."""
    attempts = exchange.attempts
    return attempts if len(attempts) < 2 else sorted(attempts, key=lambda attempt: attempt.started)


def answering(exchange: Exchange, attempts: Sequence[Attempt]) -> Attempt | None:
    """The attempt whose answer the caller got, else the last."""
    answered = [each for each in attempts if each.status == exchange.status and each.error is None]
    return next(reversed(answered or attempts), None)


def milliseconds(seconds: float) -> float:
    """Seconds as milliseconds, to the microsecond."""
    return round(seconds * 1e6) / 1000  # a third of the time of round(..., 3)


def _rule(exchange: Exchange) -> str | None:
    """The dentry that led to where it went: the last that had a part in what it is bound to."""
    if exchange.derivation is None:
        return None
    bound = [step for step in exchange.derivation.steps if step.result == "bound"]
    dentries = [step.dentry for step in bound if "=>" in step.dentry]
    return dentries[-1] if dentries else None


def _attempt(attempt: Attempt, began: float) -> Json:
    connected = attempt.connected
    shown = {
        "client": attempt.client.show(),
        "endpoint": attempt.endpoint.show(),
        "trial": attempt.health is Health.PROBING or attempt.health is Health.DEAD,
        "copy": attempt.copy,
        "in_flight": attempt.pending,
        "endpoints": attempt.endpoints,
        "candidates": candidates(attempt),
        "start_ms": milliseconds(attempt.started - began),
        "connect_ms": None if connected is None else milliseconds(connected - attempt.started),
        "duration_ms": milliseconds(attempt.ended - attempt.started),
        "status": attempt.status or None,
        "classification": None if attempt.verdict is None else attempt.verdict.value,
        "error": attempt.error,
    }
    if attempt.transport is not None:
        shown["transport"] = attempt.transport._asdict()
    return shown


def candidates(attempt: Attempt) -> list[Json]:
    """What was compared, with its load just then; nothing when the endpoint was found otherwise."""
    nodes, loads = attempt.drawn[::2], attempt.drawn[1::2]
    shown = [
        {"endpoint": node.endpoint.show(), "load": load, "chosen": node.endpoint == attempt.endpoint}
        for node, load in zip(nodes, loads, strict=True)
    ]
    return shown if any(each["chosen"] for each in shown) else []
