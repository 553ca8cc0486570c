"""Rules out of the configuration, and calls to try them with."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from conf import load
from conf.access import AccessPolicy
from namer.path import Path
from nodeagent.policy.call import Call
from nodeagent.policy.compiled import compiled
from nodeagent.policy.rules import Rules
from nodeagent.proxy.caller import Caller
from nodeagent.proxy.messages import RequestHead, block_of

ELSEWHERE = Caller(None, "10.0.0.7")
GONE = Caller(None, "127.0.0.1", here=True)
"""A program of this host that has closed its socket already."""


def configured(policy: str) -> AccessPolicy:
    """The `policy` of a router with this content."""
    text = "routers:\n- protocol: http\n  servers: [{port: 0}]\n  policy:\n"
    found = load(text + textwrap.indent(textwrap.dedent(policy), "    "), "test").routers[0].policy
    assert found is not None
    return found


def rules(policy: str) -> Rules:
    """The same, compiled."""
    return compiled(configured(policy))


def call(
    name: str = "/svc/users",
    method: str = "GET",
    path: str | bytes = "/",
    *,
    caller: Caller | int = ELSEWHERE,
    host: str = "10.0.0.7",
    identity: str | None = None,
    headers: Mapping[str, str] | None = None,
    lines: tuple[bytes, ...] = (),
    special: Mapping[bytes, bytes] | None = None,
    led_on: bool = False,
    claims: Mapping[str, object] | None = None,
) -> Call:
    """A call; a number as `caller` is that user of this host."""
    fields = block_of([*lines, *(f"{key}: {value}".encode() for key, value in (headers or {}).items())])
    target = path if isinstance(path, bytes) else path.encode()
    head = RequestHead(method.encode(), b"users", b"" if method == "CONNECT" else target, 11, fields, special or {})
    who = Caller(caller, "") if isinstance(caller, int) else caller
    return Call(who, host, identity, Path.parse(name), head, led_on=led_on, claims=claims)
