"""The record of a request as a story."""

from __future__ import annotations

from typing import Any

from balancer.accrual import Health
from namer.addr import Endpoint
from namer.dtab import Dtab
from namer.path import Path
from namer.steps import Step
from nodeagent.cli.request_text import story
from nodeagent.policy.decision import Decision
from nodeagent.telemetry.decision import show_exchange
from nodeagent.telemetry.exchange import Derivation, Transport
from tests.nodeagent.telemetry.exchanges import attempt, exchange
from tests.nodeagent.telemetry.test_decision import Drawn

USERS, OLD = Path.parse("/#/io.l5d.fs/users"), Path.parse("/#/io.l5d.fs/users-v1")


def told(number: int = 0xABC, **changes: Any) -> list[str]:
    record = show_exchange(exchange(number, **changes), 1_700_000_000.0)
    return story({**record, "earlier": []}).splitlines()


def derivation(*branches: tuple[Path, float]) -> Derivation:
    (dentry,) = Dtab.parse("/svc => /#/io.l5d.fs").dentries
    step = Step(Path.parse("/svc/users"), dentry, dentry.dst, Path.parse("/users"), "bound")
    return Derivation((step,), branches or ((USERS, 1.0),))


def test_a_request_that_went_well() -> None:
    first, second = Endpoint("127.0.0.1", 8081), Endpoint("127.0.0.1", 8082)
    tried = attempt(drawn=(Drawn(first), 0.004, Drawn(second), 0.5))
    assert told(derivation=derivation(), attempts=(tried,), deadline=2.0) == [
        "0000000000000abc  2023-11-14 22:13:20.000 UTC",
        "GET http://users/a?b, of 127.0.0.1:50000, by router outgoing on 127.0.0.1:4140",
        "200 after 12 ms: success",
        "",
        "name      /svc/users",
        "          /svc => /#/io.l5d.fs   /#/io.l5d.fs/users   bound",
        "goes to   /#/io.l5d.fs/users",
        "attempt 1 127.0.0.1:8081, the least load of those drawn: 0.004 against 127.0.0.1:8082 0.5",
        "          at 2 ms, connected in 2 ms, answered in 8 ms: 200, success",
        "limits    a deadline at 2000 ms, 100 retries in the budget",
        "times     bind 2 ms, connect 2 ms, wait 6 ms, answer 11 ms, total 12 ms",
        "trace     00000000000000000000000000000abc",
    ]


def test_a_retry_a_copy_and_a_trial() -> None:
    refused = attempt(8081, started=0.001, connected=None, ended=0.002, status=0, verdict=None, error="refused")
    kept = attempt(8082, started=0.003, connected=0.003, health=Health.PROBING)
    copy = attempt(8083, started=0.004, connected=0.005, copy=True, endpoints=1)
    lines = told(attempts=(copy, refused, kept), derivation=derivation((USERS, 0.9), (OLD, 0.1)))
    assert lines[6:14] == [
        "goes to   /#/io.l5d.fs/users  90.0% of the traffic",
        "          /#/io.l5d.fs/users-v1  10.0% of the traffic",
        "attempt 1 127.0.0.1:8081, chosen among 3 without comparing loads",
        "          at 1 ms, no connection, over after 1 ms: refused",
        "attempt 2 127.0.0.1:8082, a trial of an endpoint that had failed",
        "          at 3 ms, by a kept connection, answered in 7 ms: 200, success",
        "attempt 3 127.0.0.1:8083, its only endpoint; the second copy of a slow attempt",
        "          at 4 ms, connected in 1 ms, answered in 6 ms: 200, success",
    ]


def test_how_an_attempt_got_there() -> None:
    agent = attempt(8081, transport=Transport("mtls", "10.0.7.1:4141", "TLSv1.3", "spiffe://mesh.example/host/web-1"))
    plain = attempt(
        8082, started=0.02, transport=Transport("plain", "10.0.7.2:80", why="no agent is known on its host")
    )
    lines = told(attempts=(agent, plain))
    assert "          mtls (TLSv1.3) with spiffe://mesh.example/host/web-1 at 10.0.7.1:4141" in lines
    assert "          plain: no agent is known on its host" in lines


def test_a_failure_says_whose_it_is() -> None:
    failed: dict[str, Any] = {
        "status": 502,
        "verdict": None,
        "error": "destination_not_found",
        "message": "bind /svc/users: nothing",
    }
    lines = told(attempts=(), **failed)
    assert lines[2] == "502 after 12 ms: failure, by naming: bind /svc/users: nothing"


def test_rules_that_refused_it() -> None:
    denied: dict[str, Any] = {
        "status": 403,
        "verdict": None,
        "error": "http_request_denied",
        "message": "policy: denied",
    }
    lines = told(attempts=(), policy=Decision("deny", "no admin"), **denied)
    assert lines[2] == "403 after 12 ms: failure, by policy: policy: denied"
    assert "policy    deny by no admin" in lines


def test_a_caller_that_left() -> None:
    lines = told(status=0, verdict=None, whole=False)
    assert lines[2] == "no answer, 12 ms: failure, cut off, by caller"


def test_what_was_no_request() -> None:
    nothing: dict[str, Any] = {
        "method": b"",
        "authority": b"",
        "path": b"",
        "trace": b"",
        "name": None,
        "attempts": (),
        "budget": None,
    }
    refused: dict[str, Any] = {"status": 400, "verdict": None, "error": "http_request_error", "message": "no"}
    lines = told(**nothing, **refused)
    assert lines[0].startswith("without an id  ")
    assert lines[1].startswith("no request, of 127.0.0.1:50000")
    assert "name      none: nobody could identify it" in lines


def test_others_of_its_trace() -> None:
    record = show_exchange(exchange(), 0.0)
    lines = story({**record, "dtab": "/a => /b", "earlier": [record]}).splitlines()
    assert "          with the caller's own dtab /a => /b" in lines
    assert lines[-1] == "earlier   1970-01-01T00:00:00.000Z  GET http://users/a?b  200 after 12 ms: success"


def test_a_tunnel() -> None:
    lines = told(method=b"CONNECT", authority=b"users:443", path=b"", attempts=(attempt(status=0),))
    assert lines[1].startswith("CONNECT users:443, of")
    assert "          at 2 ms, connected in 2 ms: a tunnel" in lines
