"""Identifiers: request head in, logical name out."""

from __future__ import annotations

import pytest

from namer.path import Path
from nodeagent.http1.target import check_authority
from nodeagent.proxy import identify
from nodeagent.proxy.errors import BadRequest
from nodeagent.proxy.identify import Identifier, Unidentified, first_of, host_name, whole_service
from nodeagent.proxy.messages import RequestHead, block_of


def head(
    authority: str = "users", path: str = "/a/b?q=1", *lines: str, method: str = "GET", version: int = 11
) -> RequestHead:
    return RequestHead(
        method.encode(), authority.encode(), path.encode(), version, block_of(line.encode() for line in lines), {}
    )


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("users", "users"),
        ("Users.EXAMPLE.org", "users.example.org"),
        ("users:80", "users"),
        ("users:8080", "users:8080"),
        ("users.", "users"),
        ("users.:8080", "users:8080"),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]"),
        ("[::1]:81", "[::1]:81"),
    ],
)
def test_a_host_is_named_as_hosts_are_compared(authority: str, name: str) -> None:
    assert host_name(authority.encode()) == name


@pytest.mark.parametrize(
    ("identifier", "request_head", "name"),
    [
        pytest.param(identify.by_host(), head("Web:80"), "/web", id="host"),
        pytest.param(identify.by_header_token("Host"), head("Web"), "/web", id="header.token with Host is the host"),
        pytest.param(
            identify.by_header_token("my-svc"),
            head("x", "/", "My-Svc: Web"),
            "/Web",
            id="header.token keeps case",
        ),
        pytest.param(identify.by_header("l5d-name"), head("x", "/", "l5d-name: /a/b"), "/a/b", id="header"),
        pytest.param(identify.by_path(1, False), head(path="/a/b"), "/a", id="path"),
        pytest.param(identify.by_path(2, False), head(path="/a/b/c"), "/a/b", id="path, two segments"),
        pytest.param(identify.by_method_and_host(False), head("Web:81"), "/1.1/GET/web:81", id="methodAndHost"),
        pytest.param(identify.by_method_and_host(True), head("Web"), "/1.1/GET/web/a/b", id="methodAndHost with URI"),
        pytest.param(
            identify.by_method_and_host(False),
            head("", version=10),
            "/1.0/GET/a/b",
            id="methodAndHost, HTTP/1.0",
        ),
        pytest.param(identify.static(Path.parse("/x/y")), head(), "/x/y", id="static"),
    ],
)
def test_names(identifier: Identifier, request_head: RequestHead, name: str) -> None:
    assert identifier(request_head).show() == name


@pytest.mark.parametrize(
    ("identifier", "request_head"),
    [
        pytest.param(identify.by_host(), head(""), id="no host"),
        pytest.param(identify.by_header_token("my-svc"), head(), id="no such header"),
        pytest.param(identify.by_header("l5d-name"), head("x", "/", "l5d-name: no path"), id="the header is no path"),
        pytest.param(identify.by_path(3, False), head(path="/a/b"), id="too few segments"),
        pytest.param(identify.by_path(1, False), head(path="//x"), id="an empty segment"),
        pytest.param(identify.by_method_and_host(False), head(""), id="HTTP/1.1 without host"),
    ],
)
def test_not_identified(identifier: Identifier, request_head: RequestHead) -> None:
    with pytest.raises(Unidentified):
        identifier(request_head)


@pytest.mark.parametrize(
    ("path", "rest"),
    [("/a/b/c?q=1", "/b/c?q=1"), ("/a/b/", "/b/"), ("/a", "/"), ("/a/", "/"), ("/a?q", "/?q")],
)
def test_consumed_segments_leave_the_url(path: str, rest: str) -> None:
    request_head = head(path=path)

    assert identify.by_path(1, True)(request_head).show() == "/a"
    assert request_head.path == rest.encode()


def test_the_first_that_identifies_wins() -> None:
    name = first_of(Path.parse("/svc"), [identify.by_header_token("my-svc"), identify.by_host()])

    assert name(head("Web")).show() == "/svc/web"
    assert name(head("Web", "/", "my-svc: other")).show() == "/svc/other"


def test_nobody_identifies() -> None:
    with pytest.raises(BadRequest, match=r"identify: .*my-svc.*; .*no Host"):
        first_of(Path.parse("/svc"), [identify.by_header_token("my-svc"), identify.by_host()])(head(""))


def test_a_flood_of_hosts_does_not_fill_the_memory() -> None:
    name = first_of(Path.parse("/svc"), [identify.by_host()])

    for n in range(3 * identify.MEMO):
        assert name(head(f"h{n}")).show() == f"/svc/h{n}"


@pytest.mark.parametrize(
    ("asked", "name", "host"),
    [
        pytest.param(b"Users;v=2", "users;v=2", b"Users", id="a subset"),
        pytest.param(b"users;v=2;zone=eu-1:8080", "users;v=2;zone=eu-1:8080", b"users:8080", id="with a port"),
        pytest.param(b"users;canary:80", "users;canary", b"users:80", id="with the default port"),
    ],
)
def test_a_subset_is_part_of_the_name_and_not_of_the_host(asked: bytes, name: str, host: bytes) -> None:
    check_authority(asked, "Host")

    assert (host_name(asked), whole_service(asked)) == (name, host)


@pytest.mark.parametrize(
    "asked", [b"users;", b"users;=2", b"users;v=", b"users;a=b=c", b"users" + b";a" * 9, b"[::1];v=2", b";v"]
)
def test_what_is_no_subset_is_no_host(asked: bytes) -> None:
    with pytest.raises(BadRequest):
        check_authority(asked, "Host")
