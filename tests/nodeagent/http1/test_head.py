"""Heads: what is read, what is refused, and that both readers mean the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.http1.head import check_incomplete, parse_request, parse_response
from nodeagent.proxy.errors import BadRequest, ResponseInvalid
from nodeagent.proxy.messages import REQUEST_SPECIAL, RESPONSE_SPECIAL


def request(*lines: str) -> bytes:
    return "".join(line + "\r\n" for line in (*lines, "")).encode("latin-1")


def test_an_ordinary_request() -> None:
    head = parse_request(request("GET /a?b=c HTTP/1.1", "Host: Users", "X-Mixed-CASE:  v ", "Accept: */*"))

    assert (head.method, head.authority, head.path, head.version) == (b"GET", b"Users", b"/a?b=c", 11)
    assert head.fields == b"X-Mixed-CASE:  v \r\nAccept: */*\r\n"
    assert head.special == {}
    assert head.get(b"x-mixed-case") == b"v"


@pytest.mark.parametrize(
    ("line", "host", "authority", "path"),
    [
        pytest.param("GET http://web/p?q=%20 HTTP/1.1", "other", b"web", b"/p?q=%20", id="the target's authority wins"),
        pytest.param("GET http://web HTTP/1.1", "web", b"web", b"/", id="a URL without a path"),
        pytest.param("GET http://web?x=1 HTTP/1.1", "web", b"web", b"/?x=1", id="a query without a path"),
        pytest.param("GET HTTP://web:81/ HTTP/1.1", "web", b"web:81", b"/", id="the scheme's case does not matter"),
        pytest.param("CONNECT users:443 HTTP/1.1", "users:443", b"users:443", b"", id="CONNECT"),
        pytest.param("OPTIONS http://web HTTP/1.1", "x", b"web", b"*", id="OPTIONS of the whole server, by URL"),
        pytest.param("OPTIONS * HTTP/1.1", "users", b"users", b"*", id="OPTIONS *"),
        pytest.param("GET / HTTP/1.1", "[::1]:8080", b"[::1]:8080", b"/", id="an IPv6 host"),
        pytest.param("GET / HTTP/1.1", "a_b-c.d.", b"a_b-c.d.", b"/", id="underscores and a final dot"),
    ],
)
def test_forms_of_target(line: str, host: str, authority: bytes, path: bytes) -> None:
    head = parse_request(request(line, f"Host: {host}"))

    assert (head.authority, head.path) == (authority, path)


def test_http10_may_leave_out_host() -> None:
    assert parse_request(request("GET / HTTP/1.0")).authority == b""


@pytest.mark.parametrize(
    ("raw", "status", "says"),
    [
        pytest.param(request("GET / HTTP/1.1"), 400, "no Host", id="no Host"),
        pytest.param(request("GET / HTTP/1.1", "Host: a", "Host: a"), 400, "host name", id="two Hosts"),
        pytest.param(request("GET / HTTP/1.1", "Host: a,b"), 400, "host name", id="a comma in Host"),
        pytest.param(request("GET / HTTP/1.1", "Host: u@a"), 400, "host name", id="userinfo in Host"),
        pytest.param(request("GET / HTTP/1.1", "Host: a/b"), 400, "host name", id="a slash in Host"),
        pytest.param(request("GET / HTTP/1.1", "Host: ../../etc/passwd"), 400, "host name", id="a file path as Host"),
        pytest.param(request("GET / HTTP/1.1", "Host: /#/fs|x"), 400, "host name", id="delegation syntax in Host"),
        pytest.param(request("GET / HTTP/1.1", f"Host: {'a' * 64}"), 400, "host name", id="a label of 64 bytes"),
        pytest.param(request("GET / HTTP/1.1", "Host: a:0"), 400, "port", id="port 0"),
        pytest.param(request("GET / HTTP/1.1", "Host: a:65536"), 400, "port", id="port 65536"),
        pytest.param(request("GET / HTTP/1.1", "Host : a"), 400, "valid", id="space before the colon"),
        pytest.param(request("GET / HTTP/1.1", "Host: a", ": x"), 400, "valid", id="empty field name"),
        pytest.param(request("GET / HTTP/1.1", "Host: a", "X: a\x00b"), 400, "valid", id="NUL in a value"),
        pytest.param(request("GET / HTTP/1.1", "Host: a", "X: a\rb"), 400, "CRLF", id="bare CR in a value"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\r\n\r\n", 400, "CRLF", id="bare LF line ends"),
        pytest.param(request("GET / HTTP/1.1", "Host: a", " folded"), 400, "folded", id="folding"),
        pytest.param(request("GET / HTTP/1.1", " Host: a"), 400, "folded", id="white space before the first field"),
        pytest.param(request("GET / HTTP/2.0", "Host: a"), 505, "version", id="version 2.0"),
        pytest.param(request("GET / HTTP/1.10", "Host: a"), 400, "version", id="version 1.10"),
        pytest.param(request("GET /", "Host: a"), 400, "METHOD TARGET VERSION", id="HTTP/0.9"),
        pytest.param(request("get / HTTP/1.1", "Host: a"), 501, "method", id="a lower-case method"),
        pytest.param(request(f"{'A' * 10_000} / HTTP/1.1", "Host: a"), 501, "method", id="a method of 10 KB"),
        pytest.param(request("GET /#x HTTP/1.1", "Host: a"), 400, "percent", id="a fragment"),
        pytest.param(request("GET /a\\b HTTP/1.1", "Host: a"), 400, "percent", id="a backslash"),
        pytest.param(request("GET /\xe4 HTTP/1.1", "Host: a"), 400, "percent", id="a raw 8-bit byte"),
        pytest.param(request("GET /a%00b HTTP/1.1", "Host: a"), 400, "NUL", id="an encoded NUL"),
        pytest.param(request("GET users HTTP/1.1", "Host: a"), 400, "http URL", id="a bare word as target"),
        pytest.param(request("GET ftp://a/ HTTP/1.1", "Host: a"), 400, "http URL", id="ftp:"),
        pytest.param(request("GET https://a/ HTTP/1.1", "Host: a"), 400, "CONNECT", id="https:"),
        pytest.param(request("GET http:///x HTTP/1.1", "Host: a"), 400, "host name", id="a URL without authority"),
        pytest.param(request("GET * HTTP/1.1", "Host: a"), 400, "OPTIONS", id="GET *"),
        pytest.param(request("CONNECT users HTTP/1.1", "Host: a"), 400, "HOST:PORT", id="CONNECT without a port"),
        pytest.param(request("CONNECT /x:80 HTTP/1.1", "Host: a"), 400, "host name", id="CONNECT with a path"),
        pytest.param(
            request("GET / HTTP/1.1", "Host: a", *["X: y"] * 129),
            431,
            "fields",
            id="more fields than anyone needs",
        ),
    ],
)
def test_refused(raw: bytes, status: int, says: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request(raw)

    assert (caught.value.status, says in caught.value.message) == (status, True), caught.value.message


def test_obsolete_text_goes_through_the_reference_machine() -> None:
    head = parse_request(request("GET / HTTP/1.1", "Host: a", "X-Name: J\xfcrgen"))

    assert head.fields == b"X-Name: J\xfcrgen\r\n"


def test_what_connection_names_is_dropped_but_not_the_framing() -> None:
    head = parse_request(
        request(
            "GET / HTTP/1.1",
            "Host: a",
            "Connection: X-Secret, content-length",
            "X-Secret: 1",
            "Content-Length: 3",
        )
    )

    assert head.fields == b""
    assert head.special[b"content-length"] == b"3"


def test_repeated_special_fields_are_joined() -> None:
    head = parse_request(request("POST / HTTP/1.1", "Host: a", "Content-Length: 5", "content-length: 6"))

    assert head.special[b"content-length"] == b"5, 6"


def test_an_ordinary_response() -> None:
    head = parse_response(request("HTTP/1.1 404 Not  Found", "Content-Length: 0", "Set-Cookie: a=b", "Set-Cookie: c=d"))

    assert (head.status, head.reason, head.version) == (404, b"Not  Found", 11)
    assert head.fields == b"Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n"
    assert head.special == {b"content-length": b"0"}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(request("HTTP/1.1 99 Low"), id="status 99"),
        pytest.param(request("HTTP/1.1 600 High"), id="status 600"),
        pytest.param(request("HTTP/1.1 2x0 OK"), id="no number"),
        pytest.param(request("HTTP/2 200 OK"), id="another version"),
        pytest.param(request("ICY 200 OK"), id="another protocol"),
        pytest.param(request("HTTP/1.1 200 OK", "X: a", " b"), id="folding"),
        pytest.param(request("HTTP/1.1 200 OK", "X : a"), id="space before the colon"),
        pytest.param(request("HTTP/1.1 200 OK", "X: a\x00"), id="NUL"),
        pytest.param(b"HTTP/1.1 200 OK\nX: a\r\n\r\n", id="bare LF"),
        pytest.param(b"\r\n\r\n", id="nothing"),
    ],
)
def test_refused_responses(raw: bytes) -> None:
    with pytest.raises(ResponseInvalid):
        parse_response(raw)


@pytest.mark.parametrize(
    ("buffer", "status"),
    [
        pytest.param(b"GET /" + b"x" * 5000, 414, id="a long line, not ended"),
        pytest.param(b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n", 414, id="a long line, ended"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"y" * 13000, 431, id="a long header section"),
        pytest.param(b"GET / HTTP/1.1\nHost", 400, id="a bare LF is seen at once"),
    ],
)
def test_what_cannot_become_a_head_is_refused_early(buffer: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        check_incomplete(buffer, 4096, 8192)

    assert caught.value.status == status


def test_an_incomplete_head_may_go_on() -> None:
    check_incomplete(b"GET / HTTP/1.1\r\nHost: a\r", 4096, 8192)


@pytest.mark.parametrize("spelt", [str.lower, str.upper, str.title])
def test_every_special_field_is_taken_out_and_nothing_else(spelt: Callable[[str], str]) -> None:
    for names, parse, first in (
        (REQUEST_SPECIAL - {b"host", b"expect"}, parse_request, ("GET / HTTP/1.0",)),
        (RESPONSE_SPECIAL, parse_response, ("HTTP/1.1 200 OK",)),
    ):
        for name in names:
            field = spelt(name.decode())
            others = (f"{field}x: 1", f"x{field}: 2", f"{field[:-1]}: 3", f"X: a:{field}: 4")

            head = parse(request(*first, *others, f"{field}: \t v ", *others))

            assert head.fields == b"".join(line.encode() + b"\r\n" for line in (*others, *others))
            assert head.special == {name: b"v"}


def test_what_is_remembered_is_judged_as_what_is_new() -> None:
    good, bad = request("GET / HTTP/1.1", "Host: a", "X: y"), request("GET / HTTP/1.1", "Host: a:0", "X: y")

    first, second = parse_request(good), parse_request(good)

    assert (second.authority, second.fields, second.special) == (first.authority, first.fields, first.special)
    for _ in range(2):
        with pytest.raises(BadRequest):
            parse_request(bad)


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else(data: bytes) -> None:
    for parse, error in ((parse_request, BadRequest), (parse_response, ResponseInvalid)):
        with suppress(error):
            parse(data + b"\r\n\r\n")
