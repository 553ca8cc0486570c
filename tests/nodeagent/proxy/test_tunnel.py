"""Tunnels: bytes both ways, half-closes, idle limits, breaks."""

from __future__ import annotations

import socket

import pytest
import trio

from nodeagent.proxy.tunnel import Tunnel
from nodeagent.proxy.wire import Wire


def pair() -> tuple[Wire, Wire]:
    near, far = socket.socketpair()
    return Wire(near), Wire(far)


async def test_bytes_and_half_closes_pass_both_ways() -> None:
    client, client_side = pair()
    backend_side, backend = pair()
    client_side.buffer = b"early "  # sent before the tunnel stood
    tunnel = Tunnel(client_side, backend_side)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tunnel.run)
        await client.send(b"ping")
        seen = b""
        while len(seen) < 10:
            seen += await backend.receive()
        client.send_eof()
        assert await backend.receive() == b""
        await backend.send(b"the answer comes after the half-close")
        assert await client.receive() == b"the answer comes after the half-close"
        backend.send_eof()
        assert await client.receive() == b""

    assert (seen, tunnel.sent, tunnel.received, tunnel.broken) == (b"early ping", 10, 37, False)
    client.close()
    backend.close()


async def test_a_silent_tunnel_ends(autojump_clock: trio.testing.MockClock) -> None:
    client, client_side = pair()
    backend_side, backend = pair()

    started = trio.current_time()
    await Tunnel(client_side, backend_side, idle=300).run()

    assert trio.current_time() - started == pytest.approx(300)
    assert client_side.closed
    assert backend_side.closed
    client.close()
    backend.close()


async def test_a_large_transfer_arrives_whole() -> None:
    client, client_side = pair()
    backend_side, backend = pair()
    data = bytes(range(256)) * 20_000
    got = bytearray()

    async def send() -> None:
        await client.send(data)
        client.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(Tunnel(client_side, backend_side).run)
        nursery.start_soon(send)
        while piece := await backend.receive():
            got += piece
        backend.close()

    assert bytes(got) == data
    client.close()
