"""Rules that ask: Open Policy Agent by its Data API, and programs that answer by a status.

The OPA here is true to its documents (REST API, "Get a Document with Input"): a POST to the path of a rule with an
object that has `input`, answered with `result`, or without one where the rule is undefined. What its rules say is up to
a function, or to real Rego; see tests/nodeagent/policy/test_rego.py.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from tests.nodeagent.policy.rego import Rego, documented
from tests.nodeagent.proxy.world import Answer, Backend, Caller
from tests.nodeagent.running import Running, running


def said(document: object, status: str = "200 OK", fields: str = "") -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return f"HTTP/1.1 {status}\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Opa(Backend):
    """Answers what `rule` says of an input; what that raises is the answer as bytes."""

    rule: Callable[[dict[str, Any]], object] = lambda _: True
    inputs: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.replies = [self._answer]

    async def _answer(self, stream: trio.SocketStream, request: bytes) -> bool:
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode().lower().split("\r\n")
        if first != "post /v1/data/mesh/authz http/1.1":
            await stream.send_all(said({}, "404 Not Found"))
            return True
        assert "content-type: application/json" in lines
        document = json.loads(body)
        assert document.keys() == {"input"}
        self.inputs.append(document["input"])
        result = self.rule(document["input"])
        if not isinstance(result, bytes):
            result = said({"decision_id": "1"} if result is None else {"decision_id": "1", "result": result})
        await stream.send_all(result)
        return True


@dataclass
class World:
    """A running agent, its backend `web`, and whom it asks."""

    agent: Running
    backend: Backend
    asked: Backend

    async def ask(self, path: str = "/", fields: str = "", method: str = "GET") -> Answer:
        with trio.fail_after(10):
            return await self.agent.ask(
                "router http", f"{method} {path} HTTP/1.1\r\nHost: web\r\n{fields}\r\n".encode()
            )

    async def record(self) -> dict[str, Any]:
        return dict(json.loads((await self.agent.admin("/requests.json?limit=1")).body)[0])

    async def metrics(self) -> dict[str, float]:
        page = (await self.agent.admin("/metrics")).body.decode()
        lines = [line.rsplit(" ", 1) for line in page.splitlines() if "policy_questions_total{" in line]
        return {name.split('result="')[1].split('"')[0]: float(value) for name, value in lines}


@asynccontextmanager
async def asking(asked: Backend, authorizer: str, rule: str = "", rules: str = "") -> AsyncIterator[World]:
    """An agent with a rule that asks for all below /asked, and what else is given."""
    backend = Backend()
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        await nursery.start(asked.run)
        text = (
            f"- protocol: http\n  servers: [{{port: 0}}]\n  dtab: /svc/web => /$/inet/127.0.0.1/{backend.port}\n"
            f"  policy:\n    authorizers: [{{name: gate, url: 'http://127.0.0.1:{asked.port}', {authorizer}}}]\n"
            f"    rules: [{rules}{{name: asks, what: {{paths: [/asked/**]}}, action: ask, authorizer: gate{rule}}}]\n"
        )
        async with running(text) as agent:
            yield World(agent, backend, asked)
        nursery.cancel_scope.cancel()


OPA = "kind: io.l5d.opa, path: mesh/authz"


async def test_opa_decides() -> None:
    opa = Opa(rule=lambda about: {"allow": about["method"] == "GET", "reason": "only to be read", "more": [1]})
    async with asking(opa, OPA) as world:
        assert (await world.ask("/asked/a%62?x=1")).status == 200
        allowed = await world.record()
        with capture_logs() as logs:
            refused = await world.ask("/asked/ab", method="DELETE")
        denied = await world.record()
        assert (await world.ask("/other", method="DELETE")).status == 200
        counted = await world.metrics()

    assert (refused.status, refused.body) == (403, b"policy: denied\n")
    assert len(world.backend.seen) == 2
    assert opa.inputs[0] | {"user": 0} == {
        "identity": None,
        "user": 0,
        "address": "127.0.0.1",
        "service": "/svc/web",
        "method": "GET",
        "path": "/asked/a%62",
        "segments": ["asked", "ab"],
    }
    assert allowed["policy"] == {"verdict": "allow", "rule": "asks", "said": "gate: only to be read"}
    assert denied["policy"] == {"verdict": "deny", "rule": "asks", "said": "gate: only to be read"}
    assert [line["why"] for line in logs if line["event"] == "policy refuses a request"] == ["gate: only to be read"]
    assert counted == {"allowed": 1.0, "denied": 1.0}
    assert opa.connections == 1, "the connection is kept"


async def test_opa_decides_by_the_rules_of_the_documentation() -> None:
    opa = Opa(rule=Rego(documented(), "mesh/authz"))
    async with asking(opa, OPA) as world:
        assert (await world.ask("/asked/x")).status == 403
        assert (await world.record())["policy"]["said"] == "gate: nobody has asked for that"
        opa.rule = Rego(
            documented().replace("spiffe://mesh.example/host/", "").replace("identity", "service"), "mesh/authz"
        )
        assert (await world.ask("/asked/x")).status == 200
        assert (await world.ask("/asked/x", method="PUT")).status == 403


@pytest.mark.parametrize(
    ("answer", "status", "why"),
    [
        (True, 200, "gate: yes"),
        (False, 403, "gate: no"),
        (None, 403, "gate: its rules say nothing of this"),
        ({"allow": False}, 403, "gate: no"),
        ({"allow": "yes"}, 403, "no answer of gate: its result is neither true nor false, nor an object with allow"),
        ("true", 403, "no answer of gate: its result is neither true nor false, nor an object with allow"),
        (said(b"true"), 403, "no answer of gate: its answer is no JSON object"),
        (said({"code": "internal_error"}, "500 Internal Server Error"), 403, None),
        (said({"result": True}, "302 Found", "Location: http://127.0.0.1/\r\n"), 403, None),
        (said(b'{"result": true, "x": "' + b"x" * 100_000 + b'"}'), 403, None),
    ],
)
async def test_what_answers_mean(answer: object, status: int, why: str | None) -> None:
    async with asking(Opa(rule=lambda _: answer), OPA) as world:
        assert (await world.ask("/asked/x")).status == status
        policy = (await world.record())["policy"]
    assert policy["said"] == why if why is not None else policy["said"].startswith("no answer of gate: http://")


@pytest.mark.parametrize(("rule", "status"), [("", 403), (", whenDown: deny", 403), (", whenDown: allow", 200)])
async def test_without_an_answer_the_rule_says_what_happens(rule: str, status: int) -> None:
    opa = Opa()
    async with asking(opa, OPA, rule) as world:
        assert (await world.ask("/asked/x")).status == 200
        opa.kill()
        with capture_logs() as logs:
            assert (await world.ask("/asked/x")).status == status
        assert (await world.record())["policy"]["said"].startswith("no answer of gate: ")
        assert await world.metrics() == {"allowed": 1.0, "failed": 1.0}
    (line,) = [line for line in logs if line["event"] == "an authorizer gives no answer"]
    assert (line["rule"], line["decided"]) == ("asks", "allow" if status == 200 else "deny")


async def test_one_that_hangs_holds_up_nobody_else_and_these_not_for_long() -> None:
    async def hang(stream: trio.SocketStream, _: bytes) -> bool:
        await trio.sleep_forever()
        return True

    async with asking(Backend([hang]), f"{OPA}, timeoutMs: 300, maxPending: 2") as world:
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await world.ask("/asked/x"))

        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(ask)
            with trio.fail_after(5):
                while len(world.asked.seen) < 2:
                    await trio.sleep(0.01)
            assert (await world.ask("/other")).status == 200
            assert (await world.ask("/asked/x")).status == 403
            assert "as many as maxPending allows" in (await world.record())["policy"]["said"]
            assert not answers
        assert [each.status for each in answers] == [403, 403]
        assert "within 0.3 s" in (await world.record())["policy"]["said"]


async def test_an_answer_holds_for_the_same_question_alone() -> None:
    opa = Opa(rule=lambda about: about["headers"]["x-team"] == ["blue"])
    keys = "input: [service, method], headers: [X-Team], cacheTtlMs: 60000, cacheEntries: 2"
    async with asking(opa, f"{OPA}, {keys}") as world:
        for team, method, status in (
            ("blue", "GET", 200),
            ("blue", "GET", 200),
            ("red", "GET", 403),
            ("red", "GET", 403),
            ("blue", "PUT", 200),
        ):
            assert (await world.ask("/asked/x", f"X-Team: {team}\r\n", method)).status == status
        assert len(opa.inputs) == 3
        assert (await world.ask("/asked/y", "X-Team: blue\r\nX_Team: red\r\n")).status == 403
        assert len(opa.inputs) == 3, "what some servers take for another value is not asked about"
        assert await world.metrics() == {"allowed": 2.0, "denied": 2.0, "remembered": 2.0}
    assert opa.inputs[0] == {"service": "/svc/web", "method": "GET", "headers": {"x-team": ["blue"]}}


async def test_what_cannot_be_told_is_not_asked() -> None:
    """A rule for a path asks of no request that may be one for it or not: a yes would be for what it saw."""
    opa = Opa()
    async with asking(opa, OPA) as world:
        assert (await world.ask("/asked/%2e%2e/admin")).status == 403
        async with await world.agent.connect("router http") as stream:
            caller = Caller(stream)
            await caller.send(b"CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n")
            assert (await caller.answer("CONNECT")).status == 403
    assert opa.inputs == []


async def test_a_rule_that_is_tried_out_before_one_that_asks_is_counted() -> None:
    audits = "{name: trial, what: {methods: [GET]}, action: audit}, "
    async with asking(Opa(), OPA, rules=audits) as world:
        assert (await world.ask("/asked/x")).status == 200
        assert (await world.record())["policy"] == {"verdict": "audit", "rule": "trial", "said": "gate: yes"}


HTTP = "kind: io.l5d.httpAuthz, headers: [Authorization, X-Forwarded-Uri], takes: [X-User]"


async def test_a_program_answers_by_its_status_and_says_who_it_is() -> None:
    replies = [said(b"", fields="X-User: alice\r\nX-Other: x\r\n"), said(b"", "403 Forbidden"), said(b"", "204 No")]
    forged = "X-User: root\r\nX_User: root\r\nX-Forwarded-Uri: /public\r\nAuthorization: Bearer abc\r\n"
    async with asking(Backend(replies), f"{HTTP}, input: [service, method, path, query, address, user]") as world:
        assert (await world.ask("/asked/x?y=1", forged)).status == 200
        assert (await world.ask("/asked/x", forged)).status == 403
        assert (await world.record())["policy"]["said"] == "gate: it answers 403"
        assert (await world.ask("/other", forged)).status == 200

    question = world.asked.seen[0].decode().split("\r\n")
    fields = [line.lower() for line in question]
    assert question[0] == "GET / HTTP/1.1"
    assert "x-forwarded-uri: /asked/x?y=1" in fields
    assert "x-forwarded-method: get" in fields
    assert "x-forwarded-for: 127.0.0.1" in fields
    assert "l5d-dst-service: /svc/web" in fields
    assert "authorization: bearer abc" in fields
    assert not any("/public" in line for line in fields)
    first, other = (each.decode().lower().split("\r\n") for each in world.backend.seen)
    assert [line for line in first if "user:" in line] == ["x-user: alice"]
    assert [line for line in other if "user:" in line] == [], "nobody else writes it, whichever rule decides"
    assert not any("x-other" in line for line in first)


@pytest.mark.parametrize(
    ("reply", "status", "challenge"),
    [
        (said(b"", "401 No", 'WWW-Authenticate: Basic realm="shop"\r\n'), 401, 'Basic realm="shop"'),
        (said(b"", "401 No", "WWW-Authenticate: Negotiate\r\nWWW-Authenticate: Bearer\r\n"), 401, "Negotiate, Bearer"),
        (said(b"", "401 No"), 403, None),
        (said(b"", "401 No", f"WWW-Authenticate: {'x' * 3000}\r\n"), 403, None),
        (said(b"", "403 No", "WWW-Authenticate: Basic\r\n"), 403, None),
    ],
)
async def test_who_shows_nothing_hears_what_it_has_to_show(reply: bytes, status: int, challenge: str | None) -> None:
    """A 401 must have a challenge (RFC 9110, 15.5.2); without one it is a 403 as any other refusal."""
    async with asking(Backend([reply]), HTTP) as world:
        answer = await world.ask("/asked/x")
        record = await world.record()
    assert (answer.status, answer.body, answer.get("www-authenticate")) == (status, b"policy: denied\n", challenge)
    assert (record["status"], record["policy"]["said"].partition(" it ")[0]) == (status, "gate:")
    assert world.backend.seen == []
