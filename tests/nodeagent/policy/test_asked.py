"""What an authorizer is told of who calls."""

from __future__ import annotations

import json

from nodeagent.policy.asked import HttpProtocol, OpaProtocol, told_of
from nodeagent.proxy.caller import Caller
from tests.nodeagent.policy.asking import call

WEB = Caller(7, "", cgroup="/system.slice/web.service")


def test_a_program_of_this_host_is_told_by_user_and_cgroup() -> None:
    told = told_of(call(caller=WEB), ["user", "cgroup"], [])
    question = OpaProtocol("mesh/authz").question(told)
    assert json.loads(question.content or b"") == {"input": {"user": 7, "cgroup": "/system.slice/web.service"}}
    headers = HttpProtocol("/", ()).question(told).headers
    assert headers == {"l5d-client-uid": "7", "l5d-client-cgroup": "/system.slice/web.service"}


def test_what_is_not_known_is_null_or_left_out() -> None:
    told = told_of(call(), ["user", "cgroup"], [])
    assert json.loads(OpaProtocol("mesh/authz").question(told).content or b"") == {
        "input": {"user": None, "cgroup": None}
    }
    assert HttpProtocol("/", ()).question(told).headers == {}
