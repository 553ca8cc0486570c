"""What every `Wire` promises, plain and through TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio
import trustme

from nodeagent.proxy.handshakes import accept_tls
from nodeagent.proxy.wire import CLOSED, Wire
from tests.nodeagent.proxy.tlsends import CUT, LARGE, NAME, Trust, connected, encrypted, handshaken
from tls.contexts import Side
from tls.params import PROTOCOLS


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(trustme.CA(), tmp_path_factory.mktemp("tls"))


@dataclass(frozen=True)
class Peer:
    """The other end of the wire, plain or not."""

    send: Callable[[bytes], Awaitable[None]]
    receive: Callable[[int], Awaitable[bytes | bytearray]]
    end: Callable[[], Awaitable[None]]
    """Say the end as it should be said."""
    transport: trio.SocketStream

    def reset(self) -> None:
        self.transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT)
        self.transport.socket.close()

    async def exactly(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            data = await self.receive(65536)
            assert data
            received += data
        return bytes(received)


@asynccontextmanager
async def plain(trust: Trust) -> AsyncIterator[tuple[Wire, Peer]]:
    sock, stream = await connected()
    wire = Wire(sock)
    async with stream:
        yield wire, Peer(stream.send_all, stream.receive_some, stream.send_eof, stream)
        wire.close()


@asynccontextmanager
async def through_tls(trust: Trust, version: str) -> AsyncIterator[tuple[Wire, Peer]]:
    async with handshaken(trust.client(protocols=(version,)), trust.server()) as (wire, stream):

        async def end() -> None:  # SSLStream itself would wait for the answer, or close
            with pytest.raises(ssl.SSLWantReadError):
                stream._ssl_object.unwrap()
            await stream.transport_stream.send_all(encrypted(stream))

        yield wire, Peer(stream.send_all, stream.receive_some, end, stream.transport_stream)


@asynccontextmanager
async def as_the_server(trust: Trust, version: str) -> AsyncIterator[tuple[Wire, Peer]]:
    sock, transport = await connected()
    stream = trio.SSLStream(transport, trust.client(protocols=(version,)), server_hostname=NAME)
    made: list[Wire] = []

    async def accept() -> None:
        made.append(await accept_tls(Wire(sock), Side(trust.server(), None, (), b"")))

    async def end() -> None:
        with pytest.raises(ssl.SSLWantReadError):
            stream._ssl_object.unwrap()
        await transport.send_all(encrypted(stream))

    async with transport:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            await stream.do_handshake()
        yield made[0], Peer(stream.send_all, stream.receive_some, end, transport)
        made[0].close()


Ends = tuple[Wire, Peer]


@pytest.fixture(params=["plain", *PROTOCOLS, *(f"server {version}" for version in PROTOCOLS)])
async def ends(request: pytest.FixtureRequest, trust: Trust) -> AsyncIterator[Ends]:
    side, _, version = request.param.rpartition(" ")
    if request.param == "plain":
        made = plain(trust)
    else:
        made = as_the_server(trust, version) if side == "server" else through_tls(trust, version)
    with trio.fail_after(20):
        async with made as both:
            yield both


async def test_bytes_go_both_ways(ends: Ends) -> None:
    wire, peer = ends

    await wire.send(b"__ping", 2)
    assert await peer.exactly(4) == b"ping"
    await peer.send(b"pong")
    assert await wire.receive() == b"pong"


async def test_what_was_read_can_be_put_back(ends: Ends) -> None:
    wire, peer = ends
    await peer.send(b"head body")

    assert await wire.read() == b"head body"
    wire.unread(b"body")
    assert wire.has_bytes()
    assert await wire.read() == b"body"


async def test_much_is_received_whole_and_in_order(ends: Ends) -> None:
    wire, peer = ends
    received = bytearray()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.send, LARGE)
        while len(received) < len(LARGE):
            received += await wire.receive()

    assert received == LARGE


async def test_sending_waits_for_a_peer_that_does_not_read(ends: Ends) -> None:
    wire, peer = ends
    done = trio.Event()

    async def send() -> None:
        await wire.send(LARGE)
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not done.is_set()
        assert await peer.exactly(len(LARGE)) == LARGE
        await done.wait()


async def test_what_the_kernel_does_not_take_at_once_is_sent_by_send(ends: Ends) -> None:
    wire, peer = ends
    sent = wire.send_nowait(LARGE)
    while sent < len(LARGE) and (more := wire.send_nowait(LARGE[sent:])):
        sent += more
    assert sent < len(LARGE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.send, LARGE, sent)
        assert await peer.exactly(len(LARGE)) == LARGE


async def test_both_directions_at_once_under_pressure(ends: Ends) -> None:
    wire, peer = ends
    received = bytearray()

    async def echo() -> None:
        left = len(LARGE)
        while left:
            data = await peer.receive(65536)
            left -= len(data)
            await peer.send(bytes(data))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo)
        nursery.start_soon(wire.send, LARGE)
        while len(received) < len(LARGE):
            received += await wire.receive()

    assert received == LARGE


async def until_it_has_bytes(wire: Wire) -> None:
    await trio.lowlevel.wait_readable(wire.fd)
    while not wire.has_bytes():
        await trio.lowlevel.wait_readable(wire.fd)


async def test_silence_has_no_bytes(ends: Ends) -> None:
    wire, _ = ends

    assert not wire.has_bytes()
    assert not wire.has_bytes()


async def test_data_is_there_and_still_is_when_read(ends: Ends) -> None:
    wire, peer = ends
    await peer.send(b"unasked")

    await until_it_has_bytes(wire)

    assert wire.has_bytes()
    assert await wire.read() == b"unasked"
    assert not wire.has_bytes()


async def test_the_end_counts_and_is_read_again_and_again(ends: Ends) -> None:
    wire, peer = ends
    await peer.end()

    await until_it_has_bytes(wire)

    assert wire.has_bytes()
    assert await wire.receive() == b""
    assert await wire.receive() == b""


async def test_an_end_that_came_with_the_last_data_counts(ends: Ends) -> None:
    wire, peer = ends
    await peer.send(b"last")
    await peer.end()
    await trio.lowlevel.wait_readable(wire.fd)

    assert await wire.receive() == b"last"
    assert wire.has_bytes()
    assert await wire.receive() == b""


async def test_the_peer_reads_on_after_its_own_end(ends: Ends) -> None:
    wire, peer = ends
    await peer.end()
    assert await wire.receive() == b""

    await wire.send(b"answer")

    assert await peer.transport.receive_some(65536)


async def test_a_break_counts(ends: Ends) -> None:
    wire, peer = ends
    peer.reset()

    await trio.lowlevel.wait_readable(wire.fd)

    assert wire.has_bytes()


async def test_sending_after_a_reset_fails(ends: Ends) -> None:
    wire, peer = ends
    peer.reset()
    await trio.lowlevel.wait_readable(wire.fd)

    with pytest.raises(OSError):  # noqa: PT011  (which one is up to the kernel)
        await wire.send(b"x")


async def test_reading_after_a_reset_fails(ends: Ends) -> None:
    wire, peer = ends
    peer.reset()

    with pytest.raises(OSError):  # noqa: PT011
        await wire.receive()


async def test_after_send_eof_the_peer_sees_the_end_and_answers(ends: Ends) -> None:
    wire, peer = ends
    await wire.send(b"question")
    await peer.send(b"early ")  # lies in the kernel while the end is said
    wire.send_eof()

    assert await peer.exactly(8) == b"question"
    assert await peer.receive(100) == b""
    assert await wire.receive() == b"early "


async def test_the_peer_sees_a_close_as_an_end(ends: Ends) -> None:
    wire, peer = ends
    await wire.send(b"bye")
    wire.close()
    wire.close()

    assert await peer.exactly(3) == b"bye"
    assert await peer.receive(100) == b""


async def test_the_peer_sees_an_abort_as_a_break(ends: Ends) -> None:
    wire, peer = ends
    wire.abort()
    wire.abort()

    with pytest.raises(trio.BrokenResourceError):
        await peer.receive(100)


async def test_a_close_wakes_who_reads(ends: Ends) -> None:
    wire, _ = ends

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await wire.receive()

        await trio.testing.wait_all_tasks_blocked()
        wire.close()

    with pytest.raises(CLOSED):
        await wire.send(b"x")


async def test_cancelling_a_read_loses_nothing(ends: Ends) -> None:
    wire, peer = ends
    with trio.move_on_after(0):
        await wire.receive()

    await peer.send(b"kept")

    assert await wire.receive() == b"kept"


async def test_it_knows_its_peer(ends: Ends) -> None:
    wire, peer = ends
    host, port, *_ = peer.transport.socket.getsockname()

    assert wire.peer == f"{host}:{port}"


@pytest.mark.parametrize("seconds", [0.1, 5.0])
async def test_who_lingers_reads_what_is_still_sent_for_a_while_and_keeps_nothing(trust: Trust, seconds: float) -> None:
    with trio.fail_after(4):
        async with plain(trust) as (wire, peer), trio.open_nursery() as nursery:
            await peer.send(b"x" * 1000)
            nursery.start_soon(wire.linger, seconds, 1 << 20)
            assert await peer.receive(1) == b""
            if seconds > 1:
                await peer.end()

    assert wire.buffer == b""


async def test_what_the_peers_kernel_has_taken_is_counted(ends: Ends) -> None:
    wire, peer = ends
    before = wire.acknowledged()
    await wire.send(b"x" * 10_000)
    await peer.exactly(10_000)
    with trio.fail_after(5):
        while wire.unacknowledged():
            await trio.sleep(0.01)

    assert wire.acknowledged() - before >= 10_000
    assert not wire.took_none(10_000)


async def test_a_closed_wire_has_nothing_to_tell(ends: Ends) -> None:
    wire, _ = ends
    wire.close()

    assert (wire.unacknowledged(), wire.acknowledged(), wire.took_none(1)) == (0, 0, False)
