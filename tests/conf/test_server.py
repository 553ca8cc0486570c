"""Listeners."""

from __future__ import annotations

import pytest

import conf
from conf.server import (
    AddForwardedHeader,
    ConnectionRandomLabeler,
    IpLabeler,
    IpPortLabeler,
    RequestRandomLabeler,
    RouterLabeler,
    Server,
    ServerSession,
    SocketOptions,
    StaticLabeler,
)
from tests.conf.texts import problems


def server(keys: str) -> Server:
    one = conf.load(f"routers: [{{protocol: http, servers: [{{{keys}}}]}}]", "l5d").routers[0].servers[0]
    assert isinstance(one, Server)
    return one


def test_defaults() -> None:
    assert server("") == Server(port=4140, ip="127.0.0.1")
    assert server("").server_session == ServerSession(idle_time_ms=600_000, life_time_ms=None)
    assert server("").socket_options == SocketOptions(True, True, False, False, None)
    assert (server("").max_call_depth, server("").add_forwarded_header) == (1000, None)


@pytest.mark.parametrize(
    ("kind", "labeler"),
    [
        ("ip", IpLabeler()),
        ("ip:port", IpPortLabeler()),
        ("connectionRandom", ConnectionRandomLabeler()),
        ("requestRandom", RequestRandomLabeler()),
        ("router", RouterLabeler()),
    ],
)
def test_labelers(kind: str, labeler: object) -> None:
    header = server(f"addForwardedHeader: {{for: {{kind: '{kind}'}}}}").add_forwarded_header

    assert header == AddForwardedHeader(by=RequestRandomLabeler(), for_=labeler)  # type: ignore[arg-type]


def test_a_static_labeler() -> None:
    header = server("addForwardedHeader: {by: {kind: static, label: edge}}").add_forwarded_header

    assert header == AddForwardedHeader(by=StaticLabeler("edge"))


def test_forwarded_with_its_defaults() -> None:
    assert server("addForwardedHeader: {}").add_forwarded_header == AddForwardedHeader()


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        pytest.param("announce: [/x]", "servers[0].announce: not provided here (", id="announce"),
        pytest.param(
            "socketOptions: {readTimeoutMs: 5}",
            "servers[0].socketOptions.readTimeoutMs: not provided yet (a time limit for one read)",
            id="read timeout",
        ),
        pytest.param("maxConcurrentRequests: 0", "0 is out of range", id="nothing at once"),
    ],
)
def test_what_is_refused(keys: str, line: str) -> None:
    (problem,) = problems(f"routers: [{{protocol: http, servers: [{{{keys}}}]}}]")

    assert line in problem


def test_a_unix_socket() -> None:
    listening = server("path: /run/nodeagent/http.sock, mode: '0600'")

    assert (listening.address, listening.mode) == (("/run/nodeagent/http.sock", 0), "0600")
    assert (server("").address, server("").mode) == (("127.0.0.1", 4140), "0660")
    assert listening.trusts_dtabs


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        pytest.param(
            "path: run/x", ".path: expected the absolute path of a Unix socket, found the text", id="relative"
        ),
        pytest.param(f"path: /{'x' * 107}", "the path of a Unix socket has at most 107 bytes", id="too long"),
        pytest.param(
            "path: /run/x, port: 80", ".port: cannot stand beside path; leave one of them out", id="and a port"
        ),
        pytest.param("path: /run/x, ip: '::1'", ".ip: cannot stand beside path; leave one of them out", id="and an IP"),
        pytest.param("mode: '0600'", ".mode: is for a Unix socket; give its path as well", id="no path"),
        pytest.param("path: /run/x, mode: 0660", "the number 0660; put it in quotes if it is text", id="a number"),
        pytest.param(
            "path: /run/x, mode: 'rw'", '.mode: expected permissions in quotes, such as "0660"', id="no octal"
        ),
        pytest.param("path: /run/x}, {path: /run/x", ".path: /run/x is taken by routers[0].servers[0]", id="twice"),
    ],
)
def test_what_a_unix_socket_cannot_be(keys: str, line: str) -> None:
    (problem,) = problems(f"routers: [{{protocol: http, servers: [{{{keys}}}]}}]")

    assert line in problem
