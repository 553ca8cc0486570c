"""Registries by HTTP, on real sockets: what they answer, and what they do to whoever asks."""

from __future__ import annotations

import pathlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import pytest
import trio
import trustme

from namer.httpapi import ApiError, NoAnswerError, Reply, Session, StatusError, read_token, session

Serve: TypeAlias = Callable[[trio.SocketStream, bytes], Awaitable[None]]


def saying(answer: bytes) -> Serve:
    """A server that says this and closes."""

    async def serve(stream: trio.SocketStream, request: bytes) -> None:
        await stream.send_all(answer)

    return serve


def ok(body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


@asynccontextmanager
async def asking(serve: Serve) -> AsyncIterator[tuple[Session, list[bytes]]]:
    """A session with a server that treats each connection so, and the heads of what it was asked."""
    heads: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await stream.receive_some()
        heads.append(head)
        with suppress(trio.BrokenResourceError):
            await serve(stream, head)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(
            lambda task_status: trio.serve_tcp(handle, 0, host="127.0.0.1", task_status=task_status)
        )
        port = listener.socket.getsockname()[1]
        async with session(f"http://127.0.0.1:{port}", headers={"x-token": "t"}) as api:
            yield api, heads
        nursery.cancel_scope.cancel()


async def refused(serve: Serve, *, limit: int = 1000, timeout: float = 10.0) -> ApiError:
    """What a question to such a server raises."""
    async with asking(serve) as (api, _):
        with pytest.raises(ApiError) as raised:
            await api.call("GET", "/v1/x", limit=limit, timeout=timeout)
    return raised.value


async def test_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with asking(saying(ok(b'{"a": 1}', "X-Consul-Index: 7\r\n"))) as (api, heads):
        reply = await api.call("GET", "/v1/x%2Fy", {"q": "a b"}, headers={"x-more": "m"})

    assert (reply.status, reply.headers["x-consul-index"], reply.json(dict[str, int])) == (200, "7", {"a": 1})
    head = heads[0].decode().lower()
    assert head.startswith("get /v1/x%2fy?q=a+b http/1.1\r\n")
    assert {"x-token: t", "x-more: m", "accept-encoding: identity"} <= set(head.split("\r\n"))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(b"", "/v1/x: ", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", "/v1/x: ", id="cut"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "/v1/x: ", id="no HTTP"),
        pytest.param(ok(b"x" * 1001), "more than 1000 bytes", id="too long"),
        pytest.param(
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "302", id="elsewhere"
        ),
    ],
)
async def test_what_is_no_answer(answer: bytes, says: str) -> None:
    assert says in str(await refused(saying(answer)))


async def test_a_status_that_is_no_success() -> None:
    answer = b"HTTP/1.1 500 Oh\r\nContent-Length: 17\r\n\r\nNo cluster leader"
    error = await refused(saying(answer))

    assert isinstance(error, StatusError)
    assert (error.status, str(error).endswith("/v1/x: 500 No cluster leader")) == (500, True)


async def test_a_status_that_is_an_answer_here() -> None:
    async with asking(saying(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")) as (api, _):
        reply = await api.call("GET", "/v1/x", answers=frozenset({404}))

    assert (reply.status, reply.body) == (404, b"")


@pytest.mark.parametrize("body", [b"<html></html>", b"", b"[", b'{"a": "b"}', b"[" * 100_000])
def test_a_body_that_is_not_what_was_asked_for(body: bytes) -> None:
    reply = Reply("http://c/v1/x", 200, {}, body)
    with pytest.raises(ApiError, match="not the JSON that was asked for"):
        reply.json(dict[str, int])


async def test_a_server_that_never_ends_is_left() -> None:
    async def endless(stream: trio.SocketStream, request: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await stream.send_all(b"1\r\nx\r\n")
            await trio.sleep(0.01)

    assert "no whole answer within 0.1 s" in str(await refused(endless, timeout=0.1))


async def test_a_body_without_end_is_not_kept() -> None:
    async def endless(stream: trio.SocketStream, request: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(2000):
            await stream.send_all(b"x" * 50_000)

    assert "more than 1000000 bytes" in str(await refused(endless, limit=1_000_000))


async def test_nobody_listens() -> None:
    async with session("http://127.0.0.1:1") as api:
        with pytest.raises(ApiError, match=r"^http://127.0.0.1:1/v1/x: cannot connect: connection refused$"):
            await api.call("GET", "/v1/x")


async def test_a_host_of_several_addresses_none_of_which_listens() -> None:
    async with session("http://localhost:1") as api:
        with pytest.raises(NoAnswerError, match="cannot connect: connection refused"):
            await api.call("GET", "/v1/x")


async def test_a_server_that_says_nothing_is_left() -> None:
    async def silent(stream: trio.SocketStream, request: bytes) -> None:
        await trio.sleep_forever()

    error = await refused(silent, timeout=0.1)
    assert isinstance(error, NoAnswerError)
    assert "no answer within 0.1 s" in str(error)


async def test_lines_as_they_come() -> None:
    async def lines(stream: trio.SocketStream, request: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\none\ntw")
        await trio.sleep(0.01)
        await stream.send_all(b"o\n\nlast")

    async with asking(lines) as (api, _), api.lines("/v1/x") as found:
        assert [line async for line in found] == [b"one", b"two", b"", b"last"]


async def test_lines_may_be_left_early() -> None:
    async def endless(stream: trio.SocketStream, request: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send_all(b"line\n")
            await trio.sleep(0.001)

    async with asking(endless) as (api, _), api.lines("/v1/x") as found:
        async for line in found:
            assert line == b"line"
            break


async def test_lines_that_are_refused() -> None:
    async with asking(saying(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")) as (api, _):
        with pytest.raises(StatusError, match="410") as error:
            async with api.lines("/v1/x"):
                pytest.fail("there are none")

    assert error.value.status == 410


@pytest.mark.parametrize(("server_name", "trusted"), [("consul.corp", True), (None, False)])
async def test_a_certificate_is_for_the_name_that_was_given(server_name: str | None, trusted: bool) -> None:
    authority = trustme.CA()
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("consul.corp").configure_cert(theirs)

    async def handle(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()
            await stream.send_all(ok(b"1"))

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(
            lambda task_status: trio.serve_ssl_over_tcp(handle, 0, theirs, host="127.0.0.1", task_status=task_status)
        )
        url = f"https://127.0.0.1:{listener.transport_listener.socket.getsockname()[1]}"
        async with session(url, tls=ours, server_name=server_name) as api:
            if trusted:
                assert (await api.call("GET", "/")).body == b"1"
            else:
                with pytest.raises(ApiError, match="certificate"):
                    await api.call("GET", "/")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("token", ["SECRET\nx", "SECRET\u00e9"])
async def test_a_token_that_cannot_be_sent_is_not_shown(token: str) -> None:
    async with asking(saying(ok(b""))) as (api, _):
        with pytest.raises(ApiError) as raised:
            await api.call("GET", "/v1/x", headers={"x-token": token})

    assert "characters that cannot be sent" in str(raised.value)
    assert "SECRET" not in str(raised.value)


async def test_a_name_that_cannot_be_sent() -> None:
    async with asking(saying(ok(b""))) as (api, _):
        with pytest.raises(ApiError, match="characters that cannot be sent"):
            await api.call("GET", "/v1/x", {"dc": "\udcff"})


async def test_what_is_told_of_an_answer_is_short_and_one_line() -> None:
    error = str(await refused(saying(b"HTTP/1.1 200 OK\r\n" + b"\x1b[31m" * 10_000 + b"\r\n\r\n")))

    assert len(error) < 500
    assert error.isprintable()


def test_elements_of_a_list() -> None:
    reply = Reply("http://c/v1/x", 200, {}, b'[1, "2", "x"]')
    elements = reply.elements(int)

    assert (next(elements), next(elements)) == (1, 2)
    with pytest.raises(ApiError, match="not the JSON that was asked for"):
        next(elements)


def test_a_token(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "token"
    file.write_text("eyJhbGciOi.x-y_z\n")

    assert read_token(str(file)) == "eyJhbGciOi.x-y_z"


@pytest.mark.parametrize(
    "text", [pytest.param("", id="empty"), pytest.param("a\r\nHost: b", id="lines"), pytest.param("ä", id="no ASCII")]
)
def test_what_is_no_token_is_not_sent(tmp_path: pathlib.Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)

    with pytest.raises(ApiError, match="no token; expected one line"):
        read_token(str(file))


def test_a_token_that_cannot_be_read(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ApiError, match="token: the token cannot be read: No such file"):
        read_token(str(tmp_path / "token"))
