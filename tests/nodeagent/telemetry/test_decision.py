"""A request's record, in the words of the admin port."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.accrual import Health
from balancer.response_class import ResponseClass
from namer.addr import Addr, AddrBound, Endpoint
from namer.binding import Namers, bind
from namer.cell import Cell
from namer.dtab import Dtab
from namer.namer import Bound, ConstantNamer
from namer.nametree import Leaf
from namer.path import Path
from nodeagent.proxy import errors
from nodeagent.proxy.errors import ProxyError
from nodeagent.telemetry.decision import BLAME, blame, show_bytes, show_exchange, show_time, url
from nodeagent.telemetry.exchange import Derivation
from tests.nodeagent.telemetry.exchanges import attempt, exchange


@dataclass
class Drawn:
    """What a decision needs of a balancer's node."""

    endpoint: Endpoint


def test_the_whole_record() -> None:
    first, second = Endpoint("127.0.0.1", 8081), Endpoint("127.0.0.1", 8082)
    dtab = Dtab.parse("/svc => /host ; /host/users => /#/pool")
    addr: Addr = AddrBound((first, second))
    pool = ConstantNamer(Leaf(Bound(Path.parse("/#/pool"), Path(), Cell.constant(addr))))
    outcome = bind(Path.parse("/svc/users"), dtab, Namers([(Path.parse("/#/pool"), pool)], {}))
    record = show_exchange(
        exchange(
            0xABC,
            derivation=Derivation(outcome.steps, ((Path.parse("/#/pool"), 1.0),)),
            dtab=Dtab.parse("/a => /b"),
            deadline=2.0,
            attempts=(attempt(drawn=(Drawn(first), 0.25, Drawn(second), 0.5)),),
        ),
        1_700_000_000.0,
    )
    assert record == {
        "id": "0000000000000abc",
        "trace": "00000000000000000000000000000abc",
        "span": "0000000000000abd",
        "time": "2023-11-14T22:13:20.000Z",
        "router": "outgoing",
        "server": "127.0.0.1:4140",
        "caller": "127.0.0.1:50000",
        "identity": None,
        "method": "GET",
        "url": "http://users/a?b",
        "name": "/svc/users",
        "rule": "/host/users => /#/pool",
        "policy": None,
        "dtab": "/a => /b",
        "steps": record["steps"],
        "branches": [{"id": "/#/pool", "weight": 1.0}],
        "candidates": [
            {"endpoint": "127.0.0.1:8081", "load": 0.25, "chosen": True},
            {"endpoint": "127.0.0.1:8082", "load": 0.5, "chosen": False},
        ],
        "choice": "127.0.0.1:8081",
        "attempts": [
            {
                "client": "/#/io.l5d.fs/users",
                "endpoint": "127.0.0.1:8081",
                "trial": False,
                "copy": False,
                "in_flight": 1,
                "endpoints": 3,
                "candidates": record["candidates"],
                "start_ms": 2.0,
                "connect_ms": 2.0,
                "duration_ms": 8.0,
                "status": 200,
                "classification": "success",
                "error": None,
            }
        ],
        "retry_budget": 100,
        "deadline_ms": 2000.0,
        "status": 200,
        "classification": "success",
        "error": None,
        "message": None,
        "blame": None,
        "timings_ms": {"bind": 2.0, "connect": 2.0, "wait": 6.0, "answer": 11.0, "total": 12.0},
        "bytes_received": 0,
        "bytes_sent": 2,
        "whole": True,
    }
    assert [step["dentry"] for step in record["steps"]] == ["/svc => /host", "/host/users => /#/pool"]
    json.dumps(record)


def test_the_choice_is_the_attempt_whose_answer_the_caller_got() -> None:
    lost = attempt(8081, started=0.001, error="given up", status=0, verdict=None)
    won = attempt(8082, started=0.005, copy=True)
    record = show_exchange(exchange(attempts=(won, lost)), 0.0)
    assert [each["endpoint"] for each in record["attempts"]] == ["127.0.0.1:8081", "127.0.0.1:8082"]
    assert record["choice"] == "127.0.0.1:8082"
    assert record["attempts"][1]["copy"]


def test_a_comparison_that_was_not_about_the_choice_is_not_shown() -> None:
    other = Drawn(Endpoint("127.0.0.1", 9999))
    record = show_exchange(exchange(attempts=(attempt(drawn=(other, 1.0)),)), 0.0)
    assert record["candidates"] == []


@pytest.mark.parametrize(
    ("changes", "whose"),
    [
        ({}, None),
        ({"status": 404}, None),
        ({"status": 500, "verdict": ResponseClass.FAILURE}, "upstream"),
        ({"whole": False}, "caller"),
        ({"status": 0, "whole": False}, "caller"),
        ({"status": 503, "error": "connection_limit_reached"}, "shed"),
        ({"status": 403, "error": "http_request_denied"}, "policy"),
        ({"status": 503, "error": "destination_unavailable"}, "no endpoint"),
        ({"status": 200, "error": "http_response_incomplete", "whole": False}, "upstream"),
        ({"status": 500, "error": "something new"}, "agent"),
    ],
)
def test_blame(changes: dict[str, Any], whose: str | None) -> None:
    assert blame(exchange(**changes)) == whose


def test_each_error_of_the_agent_is_somebodys_fault() -> None:
    kinds = {each.type for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ProxyError)}
    assert kinds == set(BLAME)


def test_a_trial_is_told() -> None:
    record = show_exchange(exchange(attempts=(attempt(health=Health.PROBING),)), 0.0)
    assert record["attempts"][0]["trial"]


def test_what_was_no_request() -> None:
    record = show_exchange(
        exchange(
            method=b"",
            authority=b"",
            path=b"",
            trace=b"",
            name=None,
            attempts=(),
            status=400,
            verdict=None,
            error="http_request_error",
            message="no",
            budget=None,
        ),
        0.0,
    )
    assert (record["id"], record["trace"], record["url"], record["choice"], record["rule"]) == (
        None,
        None,
        "",
        None,
        None,
    )
    assert record["blame"] == "caller"


def test_a_tunnel_has_no_scheme() -> None:
    assert url(exchange(method=b"CONNECT", authority=b"users:443", path=b"")) == "users:443"


def test_a_moment() -> None:
    assert show_time(0.0) == "1970-01-01T00:00:00.000Z"


@given(st.binary(max_size=50))
def test_bytes_of_callers_never_break_a_line_or_a_terminal(raw: bytes) -> None:
    shown = show_bytes(raw)
    assert shown.isascii()
    assert shown.isprintable()
    assert shown.encode().decode("unicode_escape").encode("latin-1") == raw
