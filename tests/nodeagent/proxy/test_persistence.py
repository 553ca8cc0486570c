"""Which connections stay open: each side is told by its own version and its own Connection field (RFC 9112, 9.3)."""

from __future__ import annotations

import pytest
import trio

from tests.nodeagent.proxy.world import Backend, World

BODY = b"the whole answer"


def asked(version: str, connection: str) -> bytes:
    return f"GET / HTTP/{version}\r\nHost: web\r\n{connection}\r\n".encode()


def replied(version: str, connection: str, length: str = f"Content-Length: {len(BODY)}\r\n") -> bytes:
    return f"HTTP/{version} 200 OK\r\n{connection}{length}\r\n".encode() + BODY


CALLERS = [
    pytest.param(asked("1.1", ""), True, id="1.1"),
    pytest.param(asked("1.1", "Connection: Keep-Alive\r\n"), True, id="1.1 keep-alive"),
    pytest.param(asked("1.1", "Connection: close\r\n"), False, id="1.1 close"),
    pytest.param(asked("1.1", "Connection: x, CLOSE\r\nConnection: keep-alive\r\n"), False, id="1.1 both"),
    pytest.param(asked("1.0", ""), False, id="1.0"),
    # A proxy keeps no connection with an HTTP/1.0 client (RFC 9112, C.2.2).
    pytest.param(asked("1.0", "Connection: keep-alive\r\n"), False, id="1.0 keep-alive"),
]

BACKENDS = [
    pytest.param(replied("1.1", ""), True, id="1.1"),
    pytest.param(replied("1.1", "Connection: close\r\n"), False, id="1.1 close"),
    pytest.param(replied("1.0", ""), False, id="1.0"),
    pytest.param(replied("1.0", "Connection: Keep-Alive\r\n"), True, id="1.0 keep-alive"),
    pytest.param(replied("1.1", "", length=""), False, id="1.1 until close"),
    pytest.param(replied("1.0", "Connection: keep-alive\r\n", length=""), False, id="1.0 until close"),
]


@pytest.mark.parametrize(("request_", "caller_stays"), CALLERS)
@pytest.mark.parametrize(("reply", "backend_stays"), BACKENDS)
async def test_one_sides_wish_is_nothing_to_the_other(
    request_: bytes, caller_stays: bool, reply: bytes, backend_stays: bool
) -> None:
    async def answer(stream: trio.SocketStream, request: bytes) -> bool | None:
        await stream.send_all(reply)
        return True if backend_stays else None

    async with World().running(Backend([answer])) as world:
        caller = await world.connect()
        await caller.send(request_)
        first = await caller.answer()
        if caller_stays:
            await caller.send(request_)
            second = await caller.answer()
        else:
            assert await caller.rest() == b""
            second = await world.ask(request_)
        await caller.stream.aclose()

    for seen in first, second:
        assert seen.head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert (seen.body, seen.whole) == (BODY, True)
        assert seen.get("connection") == (None if caller_stays else "close")
        assert seen.get("keep-alive") is None
    (backend,) = world.backends
    assert backend.connections == (1 if backend_stays else 2)
    for at_backend in backend.seen:
        assert at_backend.startswith(b"GET / HTTP/1.1\r\nHost: web\r\n")
        assert b"\r\nconnection:" not in at_backend.lower()


async def test_what_comes_behind_a_close_is_not_read() -> None:
    async with World().running(Backend([replied("1.1", "")])) as world:
        caller = await world.connect()
        await caller.send(asked("1.1", "") + asked("1.1", "Connection: close\r\n") + asked("1.1", ""))
        bodies = [(await caller.answer()).body for _ in range(2)]
        rest = await caller.rest()
        await caller.stream.aclose()

    assert (bodies, rest, len(world.backends[0].seen)) == ([BODY, BODY], b"", 2)
