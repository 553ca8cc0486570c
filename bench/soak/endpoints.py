"""Endpoints of all kinds in the process of the soak: what they answer depends on the path that is asked."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

import h11
import trio

CHUNKS = 5
CHUNK = b"c" * 1000
LARGE = b"l" * (256 * 1024)
SMALL = b"s" * 130
PAUSE = 0.02
SLOW = 0.5
READ = 65536


async def serve(stream: trio.SocketStream) -> None:
    """Answer one connection until it ends."""
    async with stream:
        with suppress(
            h11.RemoteProtocolError, trio.BrokenResourceError, trio.ClosedResourceError
        ):  # a caller that left
            await _converse(stream)


async def _converse(stream: trio.SocketStream) -> None:
    wire = h11.Connection(h11.SERVER)
    while True:
        path, taken = "", 0
        while not isinstance(event := wire.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                wire.receive_data(await stream.receive_some(READ))
            elif isinstance(event, h11.Request):
                path = event.target.decode()
            elif isinstance(event, h11.Data):
                taken += len(event.data)
            else:
                return
        if path.startswith("/reset"):
            await _reset(stream, within=path == "/reset-within")
            return
        await _answer(stream, wire, path, taken)
        if wire.our_state is not h11.DONE or wire.their_state is not h11.DONE:
            return
        wire.start_next_cycle()


async def _answer(stream: trio.SocketStream, wire: h11.Connection, path: str, taken: int) -> None:
    if path == "/chunked":
        await stream.send_all(_head(wire, ("Transfer-Encoding", "chunked")))
        for _ in range(CHUNKS):
            await stream.send_all(wire.send(h11.Data(data=CHUNK)) or b"")
            await trio.sleep(PAUSE)
        await stream.send_all(wire.send(h11.EndOfMessage()) or b"")
        return
    if path == "/slow":
        await trio.sleep(SLOW)
    body = {"/large": LARGE, "/upload": str(taken).encode()}.get(path, SMALL)
    head = _head(wire, ("Content-Length", str(len(body))))
    await stream.send_all(head + (wire.send(h11.Data(data=body)) or b"") + (wire.send(h11.EndOfMessage()) or b""))


def _head(wire: h11.Connection, framing: tuple[str, str]) -> bytes:
    return wire.send(h11.Response(status_code=200, headers=[framing])) or b""


async def _reset(stream: trio.SocketStream, *, within: bool) -> None:
    if within:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"r" * 500)
        await trio.sleep(PAUSE)  # so that the half is read before the reset drops it
    reset(stream.socket)


def reset(sock: trio.socket.SocketType) -> None:
    """Make the close that follows a reset (SO_LINGER of no time, socket(7))."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
