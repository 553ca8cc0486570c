"""What spans a request makes: their ids, parents, attributes, and what counts as an error."""

from __future__ import annotations

from math import inf
from random import Random
from typing import Any

import pytest

from balancer.accrual import Health
from balancer.response_class import ResponseClass
from namer.addr import Endpoint
from namer.path import Path
from nodeagent.telemetry.exchange import GIVEN_UP, Attempt, Derivation, Exchange
from nodeagent.telemetry.otlp import OtlpEncoder
from nodeagent.telemetry.spans import Kind, Span, span_count, spans_of
from nodeagent.telemetry.trace import carried, continued_lines, root_lines, sample_threshold
from nodeagent.telemetry.zipkin import ZipkinEncoder
from tests.nodeagent.collector import read_otlp, read_zipkin

ALWAYS, NEVER = sample_threshold(1.0), sample_threshold(0.0)
LINES = continued_lines([(b"traceparent", b"00-%032x-%016x-01" % (1 << 64 | 7, 8))], Random(1), NEVER)
ROOT = root_lines(Random(1), ALWAYS)
POOL = Path.parse("/#/pool")
DERIVED = Derivation((), ((POOL, 1.0),))


def attempt(**changed: Any) -> Attempt:
    tried = Attempt(
        POOL, Endpoint("10.0.0.1", 80), Health.ALIVE, 2, 3, (), 1.0, 1.25, 2.0, 200, ResponseClass.SUCCESS, None,
        False, 11,
    )  # fmt: skip
    return tried._replace(**changed)


def exchange(*attempts: Attempt, **changed: Any) -> Exchange:
    over = Exchange(
        "out", "127.0.0.1:4140", "127.0.0.1:5", b"GET", b"web", b"/a", LINES, "/svc/web", DERIVED, None, 1.0, 0.0, inf,
        5, attempts, 2.0, 3.0, 200, ResponseClass.SUCCESS, None, None, 0, 2, True, False,
    )  # fmt: skip
    return over._replace(**changed)


def spans(over: Exchange) -> list[Span]:
    made = spans_of(over, 1000.0, Random(5))
    assert len(made) == span_count(over)
    return made


def test_ids_parents_and_times() -> None:
    over = exchange(
        attempt(started=1.5, status=503, span_id=21),
        attempt(started=1.25, status=0, error="dial 10.0.0.1:80: connection refused", span_id=20),
        bound_at=1.1,
    )
    own, binding, first, second = spans(over)
    trace = carried(LINES)

    assert {each.trace_id for each in (own, binding, first, second)} == {1 << 64 | 7}
    assert (own.span_id, own.parent_id) == (trace.span_id, 8)
    assert [each.parent_id for each in (binding, first, second)] == [trace.span_id] * 3
    assert [first.span_id, second.span_id] == [20, 21]
    assert [each.kind for each in (own, binding, first, second)] == [
        Kind.SERVER, Kind.INTERNAL, Kind.CLIENT, Kind.CLIENT,
    ]  # fmt: skip
    assert [(each.started, each.ended) for each in (own, binding, first)] == [
        (1001.0, 1003.0), (1001.0, 1001.1), (1001.25, 1002.0),
    ]  # fmt: skip


def test_a_trace_that_begins_here_has_a_root() -> None:
    assert spans(exchange(trace=ROOT))[0].parent_id is None


def test_an_attempt_that_no_backend_was_told_of_has_a_new_id() -> None:
    own, tunnel = spans(exchange(attempt(span_id=0)))

    assert tunnel.span_id not in (0, own.span_id)


@pytest.mark.parametrize("trace", [b"", root_lines(Random(1), NEVER)], ids=["no trace", "not recorded"])
def test_what_is_not_recorded_makes_none(trace: bytes) -> None:
    assert spans(exchange(attempt(), trace=trace)) == []


@pytest.mark.parametrize(
    ("changed", "error", "kind"),
    [
        pytest.param({}, None, None, id="a success"),
        pytest.param({"status": 404}, None, None, id="4xx is the caller's"),
        pytest.param({"status": 503}, "the backend answered 503", "503", id="the backend's failure"),
        pytest.param(
            {"status": 504, "error": "http_response_timeout", "message": "too late"},
            "too late", "http_response_timeout", id="the agent's own failure",
        ),
        pytest.param(
            {"status": 429, "error": "http_request_denied", "message": "too often"},
            None, "http_request_denied", id="the agent refuses",
        ),
        pytest.param(
            {"status": 200, "error": "http_response_incomplete", "message": "broke", "whole": False},
            "broke", "http_response_incomplete", id="the answer broke off",
        ),
        pytest.param(
            {"status": 0, "whole": False}, "its caller did not get all of the answer", "cancelled", id="the caller left"
        ),
    ],
)  # fmt: skip
def test_what_is_an_error_of_a_request(changed: dict[str, object], error: str | None, kind: str | None) -> None:
    own = spans(exchange(**changed))[0]

    assert (own.error, own.attributes.get("error.type")) == (error, kind)


@pytest.mark.parametrize(
    ("changed", "error", "kind"),
    [
        pytest.param({}, None, None, id="a success"),
        pytest.param({"status": 404}, "the endpoint answered 404", "404", id="4xx is an error for who asks"),
        pytest.param({"status": 0, "error": "dial x: refused"}, "dial x: refused", "_OTHER", id="no answer"),
        pytest.param({"status": 0, "error": GIVEN_UP}, GIVEN_UP, "cancelled", id="given up"),
    ],
)
def test_what_is_an_error_of_an_attempt(changed: dict[str, object], error: str | None, kind: str | None) -> None:
    tried = spans(exchange(attempt(**changed)))[1]

    assert (tried.error, tried.attributes.get("error.type")) == (error, kind)


def test_a_hedged_attempt_that_is_overtaken_is_no_error() -> None:
    lost = attempt(started=1.0, ended=1.9, status=0, error=GIVEN_UP, span_id=20)
    won = attempt(started=1.5, ended=1.9, copy=True, span_id=21)
    _, first, copy = spans(exchange(won, lost))

    assert (first.error, first.attributes["nodeagent.overtaken"]) == (None, True)
    assert (copy.attributes["nodeagent.hedge"], "http.request.resend_count" in copy.attributes) == (True, False)


@pytest.mark.parametrize(
    ("changed", "attributes"),
    [
        ({"peer": "[::1]:5"}, {"client.address": "::1", "network.peer.port": 5}),
        ({"peer": "unix"}, {"network.transport": "unix"}),
        ({"authority": b"users:8080"}, {"server.address": "users", "server.port": 8080}),
        ({"authority": b"[::1]"}, {"server.address": "::1", "server.port": 80}),
        ({"authority": b"[::1]:81"}, {"server.address": "::1", "server.port": 81}),
        ({"method": b"BREW"}, {"http.request.method": "_OTHER", "http.request.method_original": "BREW"}),
        ({"path": b"/a\x1b[0m?k=s"}, {"url.path": "/a\\x1b[0m"}),
        ({"error": "dns_timeout", "status": 504}, {"nodeagent.blame": "naming"}),
    ],
)
def test_attributes(changed: dict[str, object], attributes: dict[str, object]) -> None:
    found = spans(exchange(**changed))[0].attributes

    assert {name: found.get(name) for name in attributes} == attributes


def test_an_endpoint_that_is_a_unix_socket() -> None:
    found = spans(exchange(attempt(endpoint=Endpoint("/run/app.sock", 0))))[1].attributes

    assert (found["network.peer.address"], "network.peer.port" in found) == ("/run/app.sock", False)


def test_names_that_lead_nowhere_are_no_names_of_spans() -> None:
    assert spans(exchange(derivation=None))[0].name == "GET"
    assert spans(exchange())[0].name == "GET /svc/web"


def test_both_forms_say_the_same() -> None:
    made = spans(exchange(attempt(), attempt(status=500), attempt(endpoint=Endpoint("/s", 0)), bound_at=1.5))
    first, second = OtlpEncoder({"service.name": "edge"}, "1"), ZipkinEncoder("edge")
    pieces = (made[:2], made[2:3], made[3:])
    otlp = read_otlp(first.join([first.encode(piece) for piece in pieces]))
    zipkin = read_zipkin(second.join([second.encode(piece) for piece in pieces]))

    assert otlp == read_otlp(first.encode(made))
    assert zipkin == read_zipkin(second.encode(made))
    for one, other, span in zip(otlp, zipkin, made, strict=True):
        assert (one.trace, one.id, one.parent) == (other.trace, other.id, other.parent)
        assert (one.name, one.kind, one.error) == (other.name, other.kind, other.error)
        assert (one.trace, one.id) == (f"{span.trace_id:032x}", f"{span.span_id:016x}")
        assert one.started == pytest.approx(other.started, abs=2e-6)
        assert one.ended == pytest.approx(other.ended, abs=2e-6)
        assert one.attributes == {
            name: list(value) if isinstance(value, tuple) else value for name, value in span.attributes.items()
        }
        assert one.attributes.keys() == other.attributes.keys() - {"error"}


def test_zipkin_has_the_short_form_of_a_short_trace_id() -> None:
    assert b'"traceId":"%016x"' % carried(ROOT).trace_id in ZipkinEncoder("edge").encode(spans(exchange(trace=ROOT)))
