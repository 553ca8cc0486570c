"""What Open Policy Agent makes of what it is told, with real Rego: question, rules, answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nodeagent.policy.asked import Answer, OpaProtocol, told_of
from nodeagent.proxy.caller import Caller
from tests.nodeagent.policy.asking import call
from tests.nodeagent.policy.rego import Rego, documented

INPUTS = ("identity", "user", "cgroup", "address", "service", "method", "path", "query", "host")
HOST = "spiffe://mesh.example/host/a"


def answered(module: str, path: str, /, **asked: Any) -> Answer:
    """What comes of a call by such rules."""
    opa = OpaProtocol(path)
    question = opa.question(told_of(call(**asked), INPUTS, ("X-Team",)))
    assert (question.method, question.path) == ("POST", f"/v1/data/{path}")
    result = Rego(module, path)(json.loads(question.content or b"")["input"])
    body = {"decision_id": "1"} if result is None else {"decision_id": "1", "result": result}
    return opa.answer(200, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("asked", "allowed", "reason"),
    [
        ({"identity": HOST}, True, ""),
        ({"identity": HOST, "method": "PUT"}, False, "nobody has asked for that"),
        ({"identity": "spiffe://mesh.example/svc/a"}, False, "nobody has asked for that"),
        ({}, False, "nobody has asked for that"),
    ],
)
def test_the_documented_rules(asked: dict[str, Any], allowed: bool, reason: str) -> None:
    assert answered(documented(), "mesh/authz", **asked) == Answer(allowed, reason)


RULES = """
package mesh.authz

allow if input.user == 7
allow if input.cgroup == "/system.slice/pay.service"
allow if startswith(input.address, "10.1.")
allow if input.segments == ["users", "a b"]
allow if input.service == "/svc/open"
allow if "blue" in input.headers["x-team"]
allow if input.query == "debug=1"
"""


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ({"caller": 7}, True),
        ({"caller": 8}, False),
        ({"caller": Caller(8, "", cgroup="/system.slice/pay.service")}, True),
        ({"host": "10.1.2.3"}, True),
        ({"host": "::ffff:10.1.2.3"}, True),
        ({"host": "10.2.2.3"}, False),
        ({"host": "unix"}, False),
        ({"path": "/users/a%20b"}, True),
        ({"path": "/users/a%2fb"}, False),
        ({"path": "/users/../x"}, False),
        ({"path": "/?debug=1"}, True),
        ({"name": "/svc/open"}, True),
        ({"lines": (b"X-Team: blue",)}, True),
        ({"lines": (b"X-Team: red", b"x-team: blue")}, True),
        ({"lines": (b"X-Team: red",)}, False),
    ],
)
def test_each_thing_that_is_told_can_be_asked_for(asked: dict[str, Any], allowed: bool) -> None:
    """A rule without a default is undefined where it does not hold, which is no."""
    why = "" if allowed else "its rules say nothing of this"
    assert answered(RULES, "mesh/authz/allow", **asked) == Answer(allowed, why)
