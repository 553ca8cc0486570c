"""Exchanges made by hand."""

from __future__ import annotations

from math import inf
from typing import Any

from balancer.accrual import Health
from balancer.response_class import ResponseClass
from namer.addr import Endpoint
from namer.path import Path
from nodeagent.telemetry.exchange import Attempt, Exchange

USERS = Path.parse("/#/io.l5d.fs/users")


def trace_lines(number: int, *, sampled: bool = False) -> bytes:
    """The field lines of a trace whose id is `number`."""
    return b"l5d-ctx-trace: %b\r\nl5d-reqid: %016x\r\ntraceparent: 00-%032x-%016x-%02x\r\n" % (
        b"A" * 44,
        number,
        number,
        number + 1,
        sampled,
    )


def attempt(port: int = 8081, **changes: Any) -> Attempt:
    """A good attempt at 127.0.0.1, from 0.002 to 0.010 s."""
    made = Attempt(
        client=USERS,
        endpoint=Endpoint("127.0.0.1", port),
        health=Health.ALIVE,
        pending=1,
        endpoints=3,
        drawn=(),
        started=0.002,
        connected=0.004,
        ended=0.010,
        status=200,
        verdict=ResponseClass.SUCCESS,
        error=None,
    )
    return made._replace(**changes)


def exchange(number: int = 1, **changes: Any) -> Exchange:
    """A good exchange with the id `number`, received at 0 and over at 0.012 s."""
    made = Exchange(
        router="outgoing",
        server="127.0.0.1:4140",
        peer="127.0.0.1:50000",
        method=b"GET",
        authority=b"users",
        path=b"/a?b",
        trace=trace_lines(number),
        name="/svc/users",
        derivation=None,
        dtab=None,
        received_at=0.0,
        bound_at=0.0,
        deadline=inf,
        budget=100,
        attempts=(attempt(),),
        answered_at=0.011,
        ended_at=0.012,
        status=200,
        verdict=ResponseClass.SUCCESS,
        error=None,
        message=None,
        received=0,
        sent=2,
        whole=True,
        plain=True,
    )
    return made._replace(**changes)
