"""Every kind of caller against endpoints without an agent between: what is whole is seen as whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from bench.soak import callers, endpoints
from bench.soak.attribution import Ledger, Seen
from bench.soak.callers import KINDS, Target

NEEDS_AN_AGENT = {"unknown name", "tunnel", "abort in tunnel", "backend resets before", "idle"}

Handler = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Target]:
    """A target whose names all lead to *handler*."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handler, [listener])
        port = listener.socket.getsockname()[1]
        yield Target(port, lambda: "known", lambda: "unknown", "fragile", "web:80")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NEEDS_AN_AGENT])
async def test_a_conversation_ends_as_it_should(kind: str) -> None:
    ledger = Ledger()
    async with serving(endpoints.serve) as target:
        await callers.converse(kind, target, ledger)
    expected = Seen.GONE if kind.startswith("abort") else Seen.CUT if kind.startswith("backend") else Seen.OK
    assert ledger.counts == {(kind, expected): 1}, ledger.details


@pytest.mark.parametrize(
    ("reply", "seen"),
    [
        pytest.param(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", Seen.REFUSED, id="refused"),
        pytest.param(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n", Seen.STATUS, id="another status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nelse", Seen.WRONG, id="another body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhal", Seen.CUT, id="half a body"),
        pytest.param(b"", Seen.CUT, id="nothing"),
        pytest.param(b"nonsense\r\n\r\n", Seen.CUT, id="nonsense"),
    ],
)
async def test_what_is_not_a_whole_answer_is_seen(reply: bytes, seen: Seen) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(reply)

    ledger = Ledger()
    async with serving(answer) as target:
        await callers.converse("new connection", target, ledger)
    assert ledger.counts == {("new connection", seen): 1}


async def test_silence_is_an_answer_that_is_late(autojump_clock: object) -> None:
    ledger = Ledger()
    async with serving(lambda _stream: trio.sleep_forever()) as target:
        await callers.converse("new connection", target, ledger)
    assert ledger.counts == {("new connection", Seen.LATE): 1}


async def test_a_tunnel_carries_requests() -> None:
    async def tunnel(stream: trio.SocketStream) -> None:
        while b"\r\n\r\n" not in await stream.receive_some():
            pass
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        await endpoints.serve(stream)

    ledger = Ledger()
    async with serving(tunnel) as target:
        await callers.converse("tunnel", target, ledger)
        await callers.converse("abort in tunnel", target, ledger)
    assert ledger.counts == {("tunnel", Seen.OK): 1, ("abort in tunnel", Seen.GONE): 1}
