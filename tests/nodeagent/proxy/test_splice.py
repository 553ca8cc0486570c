"""Bulk goes through a pipe in the kernel, and nothing of it ever ends up with somebody else."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import trio

from nodeagent.proxy import splice
from nodeagent.proxy.frugal import FRUGAL, PIECE
from nodeagent.proxy.server import ServerLimits
from nodeagent.proxy.splice import BULK, PIPES, SourceBroken, burst, can_splice
from nodeagent.proxy.tunnel import Tunnel
from nodeagent.proxy.wire import Wire
from tests.nodeagent.proxy.world import OK, Backend, World

BIG = bytes(range(256)) * 40_000
"""10 MB: many times what the kernel's buffers hold."""
GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"


@pytest.fixture(autouse=True)
def poured(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The sizes of the pieces that went through pipes; all pipes are back at the end."""
    sizes: list[int] = []

    async def noted(source: Wire, sink: Wire, most: int | None, moved: Callable[[int], None]) -> int:
        def heard(size: int) -> None:
            sizes.append(size)
            moved(size)

        return await burst(source, sink, most, heard)

    monkeypatch.setattr("nodeagent.http1.body.burst", noted)
    monkeypatch.setattr("nodeagent.proxy.tunnel.burst", noted)
    yield sizes
    assert PIPES.lent == 0
    assert all(pipe.level == 0 for pipe in PIPES.spare)


def tcp_pair() -> tuple[Wire, Wire]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    return Wire(near), Wire(far)


def ignore(size: int) -> None: ...


async def drain(wire: Wire) -> bytes:
    got = bytearray()
    while data := await wire.read():
        got += data
    return bytes(got)


# One burst.


async def test_a_burst_moves_what_is_there_and_no_more_than_asked_for() -> None:
    sender, source = tcp_pair()
    sink, receiver = tcp_pair()
    await sender.send(b"a" * 100_000)
    await source.wait_readable()

    first = await burst(source, sink, 60_000, ignore)
    assert 0 < first <= 60_000
    while first < 100_000:
        await source.wait_readable()
        first += await burst(source, sink, None, ignore)
    assert await burst(source, sink, None, ignore) == 0
    sink.close()
    assert await drain(receiver) == b"a" * 100_000
    for wire in (sender, source, receiver):
        wire.close()


async def test_when_all_that_was_asked_for_has_moved_nobody_gets_a_turn_before_that_is_known() -> None:
    sender, source = tcp_pair()
    sink, receiver = tcp_pair()
    await sender.send(b"a" * 1000)
    await source.wait_readable()
    turns: list[str] = []

    async def other() -> None:
        turns.append("another task")

    async with trio.open_nursery() as nursery:
        await burst(source, sink, 1000, lambda size: nursery.start_soon(other))
        turns.append("known")

    assert turns == ["known", "another task"], "an answer to the whole body would look early"
    for wire in (sender, source, sink, receiver):
        wire.close()


async def test_a_break_of_the_source_is_told_from_one_of_the_sink() -> None:
    sender, source = tcp_pair()
    sink, receiver = tcp_pair()
    sender.abort()
    await source.wait_readable()
    with pytest.raises(SourceBroken):
        await burst(source, sink, None, ignore)

    sender, other = tcp_pair()
    receiver.abort()
    await sender.send(b"x")
    await other.wait_readable()
    await sink.wait_readable()
    with pytest.raises(OSError) as caught:  # noqa: PT011 (which one is up to the kernel)
        await burst(other, sink, None, ignore)
    assert not isinstance(caught.value, SourceBroken)
    for wire in (sender, source, other, sink):
        wire.close()


async def test_a_pipe_that_was_not_emptied_is_not_used_again() -> None:
    sender, source = tcp_pair()
    sink, receiver = tcp_pair()
    filler = b"x" * 100_000
    while sink.send_nowait(filler):  # the sink takes no more
        pass
    await sender.send(b"secret" * 10)
    await source.wait_readable()
    with trio.move_on_after(0.05) as scope:
        await burst(source, sink, None, ignore)

    assert scope.cancelled_caught
    assert all(pipe.level == 0 for pipe in PIPES.spare)
    for wire in (sender, source, sink, receiver):
        wire.close()


async def test_without_a_pipe_or_with_little_memory_nothing_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    sender, source = tcp_pair()
    sink, receiver = tcp_pair()
    await sender.send(b"data")
    await source.wait_readable()

    monkeypatch.setattr(splice, "MAX_PIPES", 0)
    assert await burst(source, sink, None, ignore) == 0
    monkeypatch.undo()
    FRUGAL.piece = PIECE - 1
    try:
        assert await burst(source, sink, None, ignore) == 0
    finally:
        FRUGAL.piece = PIECE
    assert await source.receive() == b"data"
    for wire in (sender, source, sink, receiver):
        wire.close()


async def test_what_is_held_back_in_the_process_goes_first() -> None:
    sender, source = tcp_pair()
    source.unread(b"first")

    assert not can_splice(source, sender)
    sender.close()
    source.close()


# Whole exchanges.


async def sized(stream: trio.SocketStream, request: bytes) -> bool:
    with suppress(trio.BrokenResourceError):
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG) + BIG)
    return True


async def until_close(stream: trio.SocketStream, request: bytes) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n" + BIG)


@pytest.mark.parametrize(
    ("reply", "request_", "by_pipe"),
    [
        pytest.param(sized, GET, True, id="length"),
        pytest.param(until_close, GET.replace(b"1.1", b"1.0"), True, id="until close"),
        pytest.param(until_close, GET, False, id="in chunks"),
    ],
)
async def test_large_responses_arrive_whole(reply: object, request_: bytes, by_pipe: bool, poured: list[int]) -> None:
    async with World().running(Backend([reply, reply, OK])) as world:  # type: ignore[list-item]
        answers = [await world.ask(request_) for _ in range(2)]
        after = await world.ask(GET)

    assert [answer.whole for answer in answers] == [True, True]
    assert [hashlib.sha256(answer.body).digest() for answer in answers] == [hashlib.sha256(BIG).digest()] * 2
    assert after.body == b"ok"
    assert (sum(poured) > len(BIG) // 2) == by_pipe


async def test_large_uploads_arrive_whole_and_the_connections_are_used_again(poured: list[int]) -> None:
    head = b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n" % len(BIG)
    async with World().running(Backend()) as world:
        caller = await world.connect()
        for _ in range(2):
            await caller.send(head + BIG)
            assert (await caller.answer()).body == b"ok"
        await caller.send(GET)
        assert (await caller.answer()).body == b"ok"
        await caller.stream.aclose()
        seen = world.backends[0].seen

        assert [request.endswith(b"\r\n\r\n" + BIG) for request in seen[:2]] == [True, True]
        assert len(seen[2]) < 1000
        assert world.backends[0].connections == 1
    assert sum(poured) > len(BIG)


async def test_a_tunnel_carries_bulk_and_small_talk_both_ways(poured: list[int]) -> None:
    client, client_side = tcp_pair()
    backend_side, backend = tcp_pair()
    tunnel = Tunnel(client_side, backend_side)
    got: dict[str, bytes] = {}

    async def talk(name: str, wire: Wire) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say, wire)
            got[name] = await drain(wire)

    async def say(wire: Wire) -> None:
        for data in (b"hello", BIG, b"small", BIG, b"bye"):
            await wire.send(data)
        wire.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tunnel.run)
        nursery.start_soon(talk, "client", client)
        nursery.start_soon(talk, "backend", backend)

    whole = b"hello" + BIG + b"small" + BIG + b"bye"
    assert got["client"] == got["backend"] == whole
    assert (tunnel.sent, tunnel.received, tunnel.broken) == (len(whole), len(whole), False)
    assert sum(poured) > len(BIG)
    client.close()
    backend.close()


async def to_the_end(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


async def cut_short(stream: trio.SocketStream, request: bytes) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG) + BIG[: len(BIG) // 2])


async def reset(stream: trio.SocketStream, request: bytes) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n" + BIG[: len(BIG) // 2])
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    stream.socket.close()


@pytest.mark.parametrize("reply", [cut_short, reset])
async def test_a_backend_that_breaks_off_in_the_middle_is_seen_as_a_break(reply: object) -> None:
    async with World().running(Backend([reply])) as world:  # type: ignore[list-item]
        caller = await world.connect()
        await caller.send(GET.replace(b"1.1", b"1.0"))
        with pytest.raises(trio.BrokenResourceError):
            await to_the_end(caller.stream)
        await caller.stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.01)

        assert world.router._errors == {"http_response_incomplete": 1}
        assert [client.connections for client in world.router.bindings.clients.values()] == [0]


async def test_a_caller_that_leaves_in_the_middle_ends_the_exchange() -> None:
    async with World().running(Backend([sized])) as world:
        caller = await world.connect()
        await caller.send(GET)
        await caller.stream.receive_some(BULK)
        caller.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        caller.stream.socket.close()
        with trio.fail_after(5):
            while world.server.in_flight or world.server.stats.connections:
                await trio.sleep(0.01)

        assert [client.connections for client in world.router.bindings.clients.values()] == [0]


async def test_a_caller_that_takes_nothing_more_is_cut_off_and_a_slow_one_is_not() -> None:
    async with World(limits=ServerLimits(stream_idle=0.5)).running(Backend([sized])) as world:
        slow = await world.connect()
        await slow.send(GET)
        stopped = await world.connect()
        await stopped.send(GET)
        got = 0
        with trio.fail_after(60):
            while got < len(BIG):
                got += len(await slow.stream.receive_some(400_000))
                await trio.sleep(0.05)
            while world.server.in_flight:
                await trio.sleep(0.01)
        await slow.stream.aclose()
        await stopped.stream.aclose()

        assert world.router._errors == {"http_request_error": 1}
