"""Callers keep calling, whatever they are answered. The sockets are real, the pauses between requests are not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

import pytest
import trio
from trio.testing import MockClock

from nodeagent.cli.demo_load import Caller, Tally

pytestmark = pytest.mark.e2e

Serve = Callable[[trio.SocketStream], Awaitable[None]]


def answers(reply: bytes, times: int) -> Serve:
    """Give the same answer so many times on a connection, then close it."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            for _ in range(times):
                if not await stream.receive_some():
                    return
                await stream.send_all(reply)

    return serve


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
FAILED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


async def tally_after(serve: Serve, requests: int) -> tuple[Tally, int]:
    """What one caller has counted after so many requests, and over how many connections."""
    tally, connections = Tally(), 0

    async def count(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        await serve(stream)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, count, listeners)
        nursery.start_soon(Caller("users", "127.0.0.1", port, tally, Random(1)).run)
        while tally.answered + tally.lost < requests:
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    return tally, connections


@pytest.mark.parametrize(
    ("serve", "expected", "connections"),
    [
        pytest.param(answers(OK, 10), Tally(answered=3), 1, id="all is well"),
        pytest.param(answers(FAILED, 10), Tally(answered=3, failed=3), 1, id="each answer is a failure"),
        pytest.param(answers(LAST, 1), Tally(answered=3), 3, id="each answer is the last of its connection"),
        pytest.param(answers(OK, 0), Tally(lost=3), 3, id="no answer at all"),
        pytest.param(answers(b"SSH-2.0-OpenSSH_9.2\r\n", 1), Tally(lost=3), 3, id="no HTTP"),
    ],
)
async def test_what_is_counted(serve: Serve, expected: Tally, connections: int, autojump_clock: MockClock) -> None:
    assert await tally_after(serve, 3) == (expected, connections)


async def test_nobody_listens(autojump_clock: MockClock) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    tally = Tally()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(Caller("users", "127.0.0.1", port, tally, Random(1)).run)
        while tally.lost < 2:
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()

    assert tally.answered == 0
