"""A tunnel through another agent: it is asked for by CONNECT (RFC 9110, 9.3.6), as a caller asks this one.

So what a caller says stays as it is, and between the two agents it is within their TLS.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

import trio

from nodeagent.http1.head import MAX_RESPONSE_HEAD, ResponseHead, parse_response
from nodeagent.proxy.errors import ConnectTimeout, Denied, ProxyError, ResponseIncomplete, ResponseInvalid
from nodeagent.proxy.messages import Request, field_of
from nodeagent.proxy.tlsfaults import refused_by_peer
from nodeagent.proxy.wire import CLOSED, Wire

PATIENCE: Final = 15.0
"""Seconds that the other agent has to find and connect an endpoint of its host; its own limits are shorter."""

MAX_WORDS: Final = 300
"""Characters of what the other agent says is wrong."""


async def open_through(wire: Wire, request: Request, where: str) -> None:
    """Have the agent at the other end of `wire` open the tunnel that `request` asks for.

    Raises ProxyError; then, and when cancelled, the wire is closed. `where` is for the error's text.
    """
    target = request.head.authority
    try:
        with trio.fail_after(PATIENCE):
            await wire.send(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (target, target, request.fields))
            await _read_yes(wire, where)
    except trio.TooSlowError:
        wire.close()
        raise ConnectTimeout(f"{where}: the agent has not opened a tunnel within {PATIENCE:g} s") from None
    except CLOSED as error:
        wire.close()
        broken = ResponseIncomplete(f"{where}: broke the connection before it opened a tunnel ({error})")
        raise refused_by_peer(error, where) or broken from None
    except BaseException:
        wire.close()
        raise


async def _read_yes(wire: Wire, where: str) -> None:
    """Read the answer; what is behind it in `wire.buffer` belongs to the tunnel."""
    while (end := wire.buffer.find(b"\r\n\r\n")) < 0:
        if len(wire.buffer) > MAX_RESPONSE_HEAD:
            raise ResponseInvalid(f"{where} sent a response head of over {MAX_RESPONSE_HEAD} bytes")
        data = await wire.receive()
        if not data:
            raise ResponseIncomplete(f"{where} closed the connection before it opened a tunnel")
        wire.buffer += data
    try:
        head = parse_response(wire.buffer[: end + 4])
    except ResponseInvalid as error:
        raise ResponseInvalid(f"{where}: {error.message}") from None
    wire.buffer = wire.buffer[end + 4 :]
    if not 200 <= head.status < 300:
        raise _refusal(head, where)


def _refusal(head: ResponseHead, where: str) -> ProxyError:
    status, said = head.status, unquote((field_of(head.fields, b"l5d-err") or b"").decode("latin-1"))[:MAX_WORDS]
    words = f"{where}: the agent answers {status} to CONNECT{f': {said}' if said else ''}"
    if status < 500:
        return Denied(words, status=status if status >= 400 else 502)
    return ResponseInvalid(words, unsent=head.special.get(b"l5d-retryable") == b"true")
