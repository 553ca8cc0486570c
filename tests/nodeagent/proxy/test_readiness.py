"""That no readiness is lost: the kernel tells of each change once, whoever listens at that moment."""

from __future__ import annotations

import os
import socket
import struct

import pytest
import trio
import trio.testing

from nodeagent.proxy.frugal import PIECE
from nodeagent.proxy.readiness import readiness
from nodeagent.proxy.wire import Wire


def pair() -> tuple[Wire, socket.socket]:
    """A wire and its peer, over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        sock, _ = listener.accept()
    return Wire(sock), peer


async def settle() -> None:
    """Let the kernel's news arrive, though nobody waits for it."""
    await trio.testing.wait_all_tasks_blocked(0.01)


async def everything(wire: Wire) -> bytes:
    with trio.fail_after(5):
        data = b""
        while piece := await wire.receive():
            data += piece
        return data


async def test_what_came_before_anybody_read_is_read() -> None:
    wire, peer = pair()
    peer.send(b"early")
    await settle()

    assert await wire.receive() == b"early"
    peer.close()
    wire.close()


@pytest.mark.parametrize("size", [1, 1000, PIECE // 2])
async def test_the_end_is_read_after_the_last_bytes_though_both_came_at_once(size: int) -> None:
    wire, peer = pair()
    peer.sendall(b"x" * size)
    peer.close()
    await settle()

    assert await everything(wire) == b"x" * size
    assert await wire.receive() == b"", "the end stays"
    wire.close()


async def test_bytes_between_two_reads_are_read() -> None:
    wire, peer = pair()
    for round_ in range(3):
        peer.send(b"%d" % round_)
        assert await wire.receive() == b"%d" % round_
        peer.send(b"more")
        await settle()
        assert await wire.receive() == b"more"
    peer.close()
    wire.close()


async def test_a_wait_for_news_that_were_read_already_goes_on() -> None:
    wire, peer = pair()
    peer.send(b"a")
    await settle()
    assert wire.sock.recv(10) == b"a"  # by whom ever

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def read() -> None:
            assert await wire.receive() == b"b"

        await settle()
        peer.send(b"b")
    peer.close()
    wire.close()


async def test_the_end_is_told_though_nobody_reads() -> None:
    wire, peer = pair()
    ends: list[bool] = []
    wire.on_end = ends.append

    peer.send(b"still to be read")
    peer.shutdown(socket.SHUT_WR)
    await settle()
    assert ends == [False]
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    await settle()

    assert ends == [False, True]
    wire.close()


async def test_a_descriptor_that_is_used_again_is_another_wire() -> None:
    first, first_peer = pair()
    ends: list[bool] = []
    first.on_end = ends.append
    fresh, peer = socket.socketpair()
    first.close()
    os.dup2(fresh.fileno(), first.fd)
    second = Wire(socket.socket(fileno=first.fd))
    fresh.close()
    first_peer.close()

    readiness().discard(first)
    peer.send(b"mine")

    assert await second.receive() == b"mine"
    assert ends == []
    peer.close()
    second.close()


async def test_reading_what_is_there_lets_others_run() -> None:
    wire, peer = pair()
    peer.close()
    await settle()
    turns: list[str] = []

    async def other() -> None:
        turns.append("other")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        assert await wire.receive() == await wire.receive() == b""
        assert turns == ["other"]
    wire.close()


@pytest.mark.parametrize(
    ("spoken", "known"),
    [
        pytest.param(lambda peer: None, False, id="silence"),
        pytest.param(lambda peer: peer.send(b"x"), True, id="bytes"),
        pytest.param(lambda peer: peer.shutdown(socket.SHUT_WR), True, id="the end"),
        pytest.param(lambda peer: peer.close(), True, id="a close"),
    ],
)
async def test_an_idle_connection_is_asked_at_the_moment_of_its_use(spoken: object, known: bool) -> None:
    wire, peer = pair()
    for _ in range(2):
        assert not wire.has_bytes()

    spoken(peer)  # type: ignore[operator]

    assert wire.has_bytes() is known, "the kernel knows, though nobody was told yet"
    peer.close()
    wire.close()
