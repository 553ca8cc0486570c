"""What a listener adds to heads or hides: Forwarded, a time stamp, cleared context."""

from __future__ import annotations

import random

import pytest

import conf
from nodeagent.edges import make_edge, node
from nodeagent.proxy.edge import Edge
from nodeagent.proxy.errors import NoEndpoints, to_response
from nodeagent.proxy.messages import Request, RequestHead, Response, block_of, lines_of


def edge(keys: str) -> Edge | None:
    config = conf.load(f"routers: [{{protocol: http, servers: [{{port: 0{keys}}}]}}]", "test")
    return make_edge(config.routers[0].servers[0], "out", "127.0.0.1:4140", random.Random(1))


def request(*lines: bytes, **special: bytes) -> Request:
    fields = {name.replace("_", "-").encode(): value for name, value in special.items()}
    return Request(RequestHead(b"GET", b"web", b"/", 11, block_of(lines), fields), b"", 0.0, "[2001:db8::7]:5000")


def lines(keys: str, asked: Request, opened_at: float = 1.0) -> list[bytes]:
    made = edge(keys)
    assert made is not None
    made.inbound(asked, opened_at)
    return lines_of(asked.fields)


def test_a_plain_listener_changes_nothing() -> None:
    assert edge("") is None


@pytest.mark.parametrize(
    ("by", "for_", "expected"),
    [
        pytest.param("ip", "ip", b'Forwarded: by=127.0.0.1;for="[2001:db8::7]"', id="addresses"),
        pytest.param("ip:port", "ip:port", b'Forwarded: by="127.0.0.1:4140";for="[2001:db8::7]:5000"', id="with ports"),
        pytest.param("router", "router", b"Forwarded: by=_out;for=_out", id="the router"),
    ],
)
def test_forwarded_names_both_ends(by: str, for_: str, expected: bytes) -> None:
    keys = f', addForwardedHeader: {{by: {{kind: "{by}"}}, for: {{kind: "{for_}"}}}}'

    assert lines(keys, request()) == [expected]


def test_forwarded_hides_addresses_unless_told_otherwise() -> None:
    first, second = (lines(", addForwardedHeader: {}", request())[0] for _ in range(2))

    assert first.startswith(b"Forwarded: by=_")
    assert b"127.0.0.1" not in first
    assert b"2001" not in first
    assert len(first) == len(second)


def test_a_connection_keeps_its_random_name() -> None:
    keys = ", addForwardedHeader: {by: {kind: static, label: gw}, for: {kind: connectionRandom}}"
    made = edge(keys)
    assert made is not None
    names = []
    for opened_at in (1.0, 1.0, 2.0):
        asked = request()
        made.inbound(asked, opened_at)
        names.append(lines_of(asked.fields)[0])

    assert names[0].startswith(b"Forwarded: by=_gw;for=_")
    assert names[0] == names[1] != names[2]


def test_forwarded_continues_what_is_there() -> None:
    asked = request(b"forwarded: for=_a", b"X: y")

    made = lines(", addForwardedHeader: {by: {kind: router}, for: {kind: router}}", asked)

    assert made == [b"X: y", b"Forwarded: for=_a, by=_out;for=_out"]


def test_the_time_of_arrival() -> None:
    (line,) = lines(", timestampHeader: X-Request-Start", request())

    name, _, value = line.partition(b": ")
    assert (name, len(value), value.isdigit()) == (b"X-Request-Start", 13, True)


def test_context_of_strangers_is_not_believed() -> None:
    asked = request(b"L5D-Anything: x", b"X: y", l5d_dtab=b"/a=>/b", via=b"1.1 x")

    assert lines(", clearContext: true", asked) == [b"X: y"]
    assert asked.head.special == {b"via": b"1.1 x"}


def test_context_is_not_shown_to_strangers_and_errors_have_no_text() -> None:
    made = edge(", clearContext: true")
    assert made is not None
    served = Response(200, b"OK", b"l5d-success-class: 1.0\r\nX: y\r\n", {}, b"ok", 2)
    failed = to_response(NoEndpoints("balance /#/secret: it has no endpoints"))

    made.outbound(served)
    made.outbound(failed)

    assert (served.fields, served.body) == (b"X: y\r\n", b"ok")
    assert (failed.status, failed.fields, failed.body, failed.length) == (503, b"", b"", 0)


@pytest.mark.parametrize(
    ("address", "written"), [("10.0.0.1", b"10.0.0.1"), ("10.0.0.1:80", b'"10.0.0.1:80"'), ("[::1]", b'"[::1]"')]
)
def test_node_identifiers_are_quoted_when_they_hold_a_colon(address: str, written: bytes) -> None:
    assert node(address) == written


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        pytest.param("", True, id="loopback"),
        pytest.param(", ip: '::1'", True, id="loopback, IPv6"),
        pytest.param(", ip: 0.0.0.0", False, id="every address"),
        pytest.param(", ip: 10.1.2.3", False, id="an address that others reach"),
        pytest.param(", ip: 0.0.0.0, trustDtabHeaders: true", True, id="trusted in so many words"),
        pytest.param(", trustDtabHeaders: false", False, id="not trusted in so many words"),
    ],
)
def test_whose_dtabs_are_obeyed(keys: str, kept: bool) -> None:
    asked = request(b"X: y", l5d_dtab=b"/a=>/b", l5d_ctx_dtab=b"/c=>/d", l5d_ctx_deadline=b"1 2")
    made = edge(keys)
    if made is not None:
        made.inbound(asked, 1.0)

    dtabs = {b"l5d-dtab", b"l5d-ctx-dtab"} if kept else set()
    assert asked.head.special.keys() == {b"l5d-ctx-deadline", *dtabs}
    assert asked.fields == b"X: y\r\n"
