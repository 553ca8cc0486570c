"""What another agent answers to CONNECT, and what becomes of it."""

from __future__ import annotations

import pytest
import trio

from nodeagent.http1.through import open_through
from nodeagent.proxy.errors import Denied, ProxyError, ResponseIncomplete, ResponseInvalid
from nodeagent.proxy.messages import Request, RequestHead
from nodeagent.proxy.wire import Wire
from tests.nodeagent.proxy.tlsends import connected

HEAD = RequestHead(b"CONNECT", b"users:80", b"", 11, b"", {})


async def asked(answer: bytes) -> tuple[Wire, bytes]:
    """Ask, be answered so, and return the wire and what was asked."""
    sock, peer = await connected()
    wire = Wire(sock)
    request = Request(HEAD, b"", 0.0, "127.0.0.1:1")
    request.fields = b"Via: 1.1 nodeagent\r\n"
    async with peer:
        await peer.send_all(answer)
        await peer.send_eof()
        await open_through(wire, request, "dial 10.0.0.7:4141")
        return wire, bytes(await peer.receive_some())


async def test_what_is_behind_the_answer_belongs_to_the_tunnel() -> None:
    wire, question = await asked(b"HTTP/1.1 200 Connection established\r\n\r\nhello")

    assert question == b"CONNECT users:80 HTTP/1.1\r\nHost: users:80\r\nVia: 1.1 nodeagent\r\n\r\n"
    assert wire.buffer == b"hello"
    wire.close()


@pytest.mark.parametrize(
    ("answer", "kind", "status", "unsent", "says"),
    [
        (b"", ResponseIncomplete, 502, False, "closed the connection before it opened a tunnel"),
        (b"HTTP/1.1 200 ", ResponseIncomplete, 502, False, "closed the connection before it opened a tunnel"),
        (b"rubbish\r\n\r\n", ResponseInvalid, 502, False, "dial 10.0.0.7:4141: "),
        (b"H" * 70_000, ResponseInvalid, 502, False, "a response head of over 65536 bytes"),
        (
            b"HTTP/1.1 403 Forbidden\r\nl5d-err: no%20entry\r\n\r\n",
            Denied,
            403,
            False,
            "the agent answers 403 to CONNECT: no entry",
        ),
        (b"HTTP/1.1 302 Found\r\n\r\n", Denied, 502, False, "the agent answers 302 to CONNECT"),
        (
            b"HTTP/1.1 502 Bad Gateway\r\nl5d-err: dial\r\nl5d-retryable: true\r\n\r\n",
            ResponseInvalid,
            502,
            True,
            "the agent answers 502 to CONNECT: dial",
        ),
    ],
)
async def test_what_is_no_tunnel(answer: bytes, kind: type[ProxyError], status: int, unsent: bool, says: str) -> None:
    with pytest.raises(kind) as caught, trio.fail_after(5):
        await asked(answer)

    assert (caught.value.status, caught.value.unsent) == (status, unsent)
    assert says in caught.value.message
