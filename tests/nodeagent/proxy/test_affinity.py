"""The key of a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.proxy.affinity import MAX_COOKIE, ByCookie, ByHeader, new_value
from nodeagent.proxy.messages import RequestHead


def head(fields: bytes) -> RequestHead:
    return RequestHead(b"GET", b"web", b"/", 11, fields, {})


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        pytest.param(b"X-User: alice\r\n", b"alice", id="there"),
        pytest.param(b"Accept: */*\r\nx-USER:  alice \r\n", b"alice", id="any case, blanks around"),
        pytest.param(b"X-User: alice\r\nX-User: bob\r\n", b"alice, bob", id="twice"),
        pytest.param(b"", None, id="not there"),
        pytest.param(b"X-User: \r\n", None, id="empty"),
        pytest.param(b"X-Users: alice\r\n", None, id="another"),
    ],
)
def test_by_header(fields: bytes, key: bytes | None) -> None:
    assert ByHeader(b"x-user").key_of(head(fields)) == key


def test_by_the_host() -> None:
    assert ByHeader(b"host").key_of(head(b"")) == b"web"


@pytest.mark.parametrize(
    ("cookies", "key"),
    [
        pytest.param(b"session=abc", b"abc", id="alone"),
        pytest.param(b"a=1; session=abc; b=2", b"abc", id="among others"),
        pytest.param(b"a=1;session=abc", b"abc", id="no blank"),
        pytest.param(b'session="abc"', b"abc", id="quoted"),
        pytest.param(b"session=abc ; a=1", b"abc", id="a blank after it"),
        pytest.param(b"session=YWJj==", b"YWJj==", id="base64"),
        pytest.param(b"session=one; session=two", b"one", id="the first of two"),
        pytest.param(b"session=" + b"x" * MAX_COOKIE, b"x" * MAX_COOKIE, id="as long as they may be"),
        pytest.param(b"session=" + b"x" * (MAX_COOKIE + 1), None, id="longer"),
        pytest.param(b"session=", None, id="empty"),
        pytest.param(b'session=""', None, id="empty, quoted"),
        pytest.param(b"session", None, id="no value"),
        pytest.param(b"Session=abc", None, id="another case is another cookie"),
        pytest.param(b"xsession=abc", None, id="the end of another name"),
        pytest.param(b"session2=abc", None, id="the beginning of another name"),
        pytest.param(b"a=session=abc", None, id="within another value"),
        pytest.param(b"session=a b", None, id="a blank within"),
        pytest.param(b"session=a,b", None, id="a comma within"),
        pytest.param(b'session="abc', None, id="half a quote"),
        pytest.param(b"session=a\\b", None, id="a backslash"),
        pytest.param(b"session=\xff", None, id="no ASCII"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_by_cookie(cookies: bytes, key: bytes | None) -> None:
    assert ByCookie(b"session").key_of(head(b"Cookie: " + cookies + b"\r\n")) == key


def test_without_cookies_there_is_no_key() -> None:
    assert ByCookie(b"session").key_of(head(b"Accept: */*\r\n")) is None


def test_a_name_is_no_pattern() -> None:
    assert ByCookie(b"a.b*").key_of(head(b"Cookie: axb=1; a.b*=2\r\n")) == b"2"


@given(st.binary(max_size=60))
def test_any_bytes_are_read(cookies: bytes) -> None:
    key = ByCookie(b"s").key_of(head(b"Cookie: s=" + cookies.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n"))
    assert key is None or (0 < len(key) <= 60 and b";" not in key)


@pytest.mark.parametrize(
    ("fields", "sets"),
    [
        (b"", False),
        (b"Set-Cookie: session=1\r\n", True),
        (b"Server: x\r\nset-cookie: session =1; Path=/\r\n", True),
        (b"Set-Cookie: Session=1\r\n", False),
        (b"Set-Cookie: sessions=1\r\n", False),
        (b"Set-Cookie: a=session=1\r\n", False),
    ],
)
def test_whether_a_response_sets_it(fields: bytes, sets: bool) -> None:
    assert ByCookie(b"session").set_by(fields) is sets


def test_what_is_set_is_read_back() -> None:
    cookie, value = ByCookie(b"session", sets=True), new_value()
    line = cookie.line(value)

    assert line == b"Set-Cookie: session=" + value + b"; Path=/; HttpOnly\r\n"
    assert cookie.set_by(line)
    assert cookie.key_of(head(b"Cookie: session=" + value + b"\r\n")) == value
    assert new_value() != value
