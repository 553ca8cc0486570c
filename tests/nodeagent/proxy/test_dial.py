"""Connecting: in time or not, refused or not, and never to oneself."""

from __future__ import annotations

import errno
import os
import socket

import pytest
import trio

from namer.addr import Endpoint
from nodeagent.proxy.dial import Dialer
from nodeagent.proxy.errors import ConnectFailed, ConnectTimeout, LoopDetected, Overloaded
from tests.nodeagent.proxy.world import free_port, listen


def nobody(endpoint: Endpoint) -> bool:
    return False


async def test_a_connection_stands() -> None:
    with listen() as listener:
        port = listener.getsockname()[1]
        wire = await Dialer(nobody).wire(Endpoint("127.0.0.1", port), 5)
        accepted, _ = listener.accept()
        accepted.send(b"hello")
        got = await wire.receive()
        wire.close()
        accepted.close()

    assert (got, wire.sock.fileno()) == (b"hello", -1)


async def test_a_refusal_is_told_with_its_address() -> None:
    port = free_port()

    with pytest.raises(ConnectFailed, match=rf"^dial 127\.0\.0\.1:{port}: connection refused$"):
        await Dialer(nobody).wire(Endpoint("127.0.0.1", port), 5)


async def test_silence_ends_at_the_time_limit() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))  # the queue of who waits to be accepted is full now
        try:
            with pytest.raises(ConnectTimeout, match="no answer within 100 ms"):
                await Dialer(nobody).wire(Endpoint("127.0.0.1", port), 0.1)
        finally:
            for filler in fillers:
                filler.close()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL])
async def test_that_this_host_has_no_room_is_no_fault_of_the_endpoint(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    async def connect(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Dialer, "_connect", connect)
    with pytest.raises(Overloaded, match=os.strerror(code).lower()):
        await Dialer(nobody).wire(Endpoint("127.0.0.1", 1), 5)


async def test_one_does_not_call_oneself() -> None:
    with pytest.raises(LoopDetected) as caught:
        await Dialer(lambda endpoint: endpoint.port == 4140).wire(Endpoint("127.0.0.1", 4140), 5)

    assert caught.value.unsent


async def test_cancelling_leaves_no_socket_behind() -> None:
    with listen() as listener:
        endpoint = Endpoint("127.0.0.1", listener.getsockname()[1])
        before = _descriptor()
        with trio.move_on_after(0):
            await Dialer(nobody).wire(endpoint, 5)

        assert _descriptor() <= before + 1


def _descriptor() -> int:
    """The number that the next descriptor gets."""
    with socket.socket() as probe:
        return probe.fileno()
