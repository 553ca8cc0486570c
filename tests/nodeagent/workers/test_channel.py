"""What the supervisor and a worker say to each other, on a real socket."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import msgspec
import pytest
import trio
import trio.testing

from nodeagent.workers.channel import (
    QUEUE,
    Answer,
    Ask,
    Channel,
    Congested,
    Ping,
    Pong,
    Start,
    ToSupervisor,
    ToWorker,
    supervisor_end,
    worker_end,
)

Ends: TypeAlias = tuple[Channel[ToWorker, ToSupervisor], Channel[ToSupervisor, ToWorker]]
START = Start(1, 2, "routers: []", "agent.yaml", [[4140]], [7, 8], ("127.0.0.1", 9990), 9, None, True, "info", [])


@asynccontextmanager
async def talking() -> AsyncIterator[Ends]:
    one, two = socket.socketpair()
    supervisor, worker = supervisor_end(one), worker_end(two)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.pump)
        nursery.start_soon(worker.pump)
        yield supervisor, worker
        nursery.cancel_scope.cancel()
    await supervisor.aclose()
    await worker.aclose()


async def test_messages_arrive_in_order_and_whole() -> None:
    large = Answer(3, 200, "text/plain", b"x" * 3_000_000)
    async with talking() as (supervisor, worker):
        for message in (START, Ping(1), Ask(2, "GET", "/ready", [("host", "h")], b"")):
            supervisor.post(message)
        await worker.send(Pong(1))
        await worker.send(large)

        assert [await worker.receive() for _ in range(3)] == [
            START,
            Ping(1),
            Ask(2, "GET", "/ready", [("host", "h")], b""),
        ]
        assert [await supervisor.receive() for _ in range(2)] == [Pong(1), large]


async def test_a_message_may_come_in_pieces() -> None:
    ours, theirs = socket.socketpair()
    channel = worker_end(theirs)
    data = msgspec.msgpack.encode(Ping(7))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_slowly, ours, struct.pack("!I", len(data)) + data)
        assert await channel.receive() == Ping(7)
    ours.close()
    assert await channel.receive() is None
    await channel.aclose()


async def send_slowly(sock: socket.socket, data: bytes) -> None:
    for byte in data:
        sock.send(bytes([byte]))
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    "data", [struct.pack("!I", 2**31), struct.pack("!I", 1) + b"\xc1", struct.pack("!I", 5) + b"hello"]
)
async def test_what_is_no_message_is_an_error(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    channel = worker_end(theirs)
    ours.send(data)

    with pytest.raises(msgspec.DecodeError):
        await channel.receive()
    ours.close()
    await channel.aclose()


async def test_who_takes_nothing_is_congested_at_last() -> None:
    ours, theirs = socket.socketpair()
    channel = supervisor_end(ours)
    for id_ in range(QUEUE):
        channel.post(Ping(id_))
    with pytest.raises(Congested):
        channel.post(Ping(QUEUE))
    await channel.aclose()
    theirs.close()


async def test_who_is_gone_hears_nothing_and_that_is_no_error() -> None:
    ours, theirs = socket.socketpair()
    channel = worker_end(ours)
    theirs.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.pump)
        await channel.send(Pong(1))
        await trio.testing.wait_all_tasks_blocked()
        await channel.send(Pong(2))
        assert await channel.receive() is None
        nursery.cancel_scope.cancel()
    await channel.aclose()
