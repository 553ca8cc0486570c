"""Requests that are over, to be told."""

from __future__ import annotations

from math import inf

from balancer.accrual import Health
from balancer.response_class import ResponseClass
from namer.addr import Endpoint
from namer.path import Path
from nodeagent.telemetry.exchange import Attempt, Described, Exchange

TRACE = (
    b"l5d-ctx-trace: AAECAwQFBgcAAQIDBAUGBwABAgMEBQYHAAAAAAAAAAA=\r\nl5d-reqid: 0011223344556677\r\n"
    b"traceparent: 00-00000000000000000011223344556677-0011223344556677-00\r\n"
)

FAILED = Attempt(
    *(Path.parse("/#/io.l5d.fs/users"), Endpoint("10.0.0.7", 80), Health.ALIVE, 0, 2, ()),
    *(100.001, None, 100.003, 0, None, "dial 10.0.0.7:80: connection refused"),
)
ANSWERED = Attempt(
    *(Path.parse("/#/io.l5d.fs/users"), Endpoint("10.0.0.8", 80), Health.ALIVE, 1, 2, ()),
    *(100.004, 100.005, 100.02, 200, ResponseClass.SUCCESS, None),
)

PLAIN = Exchange(
    router="http",
    server="127.0.0.1:4140",
    peer="127.0.0.1:51234",
    method=b"GET",
    authority=b"users",
    path=b"/a?b=1",
    trace=TRACE,
    name="/svc/users",
    derivation=None,
    dtab=None,
    received_at=100.0,
    bound_at=0.0,
    deadline=inf,
    budget=10,
    attempts=(FAILED, ANSWERED),
    answered_at=100.02,
    ended_at=100.03,
    status=200,
    verdict=ResponseClass.SUCCESS,
    error=None,
    message=None,
    received=12,
    sent=3456,
    whole=True,
    plain=False,
    described=Described(11, b"curl/8.0", b"http://portal/"),
)
"""A success at its second attempt."""

REFUSED = PLAIN._replace(
    attempts=(FAILED,),
    status=502,
    verdict=None,
    error="connection_refused",
    message="dial 10.0.0.7:80: connection refused",
)
"""One that failed."""

UNREAD = PLAIN._replace(
    method=b"", authority=b"", path=b"", trace=b"", name=None, attempts=(), status=400, verdict=None,
    error="http_request_error", message="the request line is not METHOD TARGET VERSION", described=None,
)  # fmt: skip
"""What was no request."""
