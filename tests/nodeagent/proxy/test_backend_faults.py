"""Faulty backends and callers that break off: an abort stays an abort, nothing is mixed up, nothing is left behind."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator

import pytest
import structlog
import trio

from nodeagent.proxy.balance import ClientPolicy
from nodeagent.proxy.pool import PoolLimits
from tests.nodeagent.proxy.world import OK, Backend, World

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n"
CHUNKS = b"POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n"

Reply = Callable[[trio.SocketStream, bytes], Awaitable[bool | None]]


@pytest.fixture(autouse=True)
def no_bug() -> Iterator[None]:
    """Whatever a peer does, the agent never says that it has a bug."""
    with structlog.testing.capture_logs() as logs:
        yield
    assert [entry for entry in logs if "a bug" in entry["event"]] == []


def reset(stream: trio.SocketStream) -> None:
    """Close with a reset."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def settled(world: World) -> None:
    """Wait until nobody is left."""
    with trio.fail_after(5):
        while world.server.conversations or world.server.in_flight:
            await trio.sleep(0.01)
    assert [client.stats.pending for client in world.router.bindings.clients.values()] in ([], [0])


def connections(world: World) -> int:
    """Count what is open to backends."""
    return sum(client.connections for client in world.router.bindings.clients.values())


def say(reply: bytes) -> Reply:
    """Reply with these bytes, or as many of them as the agent cares to hear."""

    async def reply_with(stream: trio.SocketStream, request: bytes) -> bool:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(reply)
        return True

    return reply_with


class Raw(Backend):
    """A backend that is one function on the raw connection."""

    def __init__(self, serve: Callable[[trio.SocketStream], Awaitable[None]]) -> None:
        super().__init__()
        self._raw = serve

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        async with stream:
            await self._raw(stream)


# What a backend says.


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("torso", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", CHUNKED + b"9\r\nabc", CHUNKED])
async def test_s75_a_torso_is_never_a_clean_end(torso: bytes, how: str) -> None:
    async def break_off(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(torso)
        await trio.sleep(0.05)
        if how == "reset":
            reset(stream)

    async with World().running(Raw(break_off)) as world:
        caller = await world.connect()
        await caller.send(GET)
        answer = await caller.answer()
        broken = b""
        try:
            await caller.stream.send_all(GET)
            broken = await caller.stream.receive_some()
        except trio.BrokenResourceError:
            broken = b"reset"
        await caller.stream.aclose()
        await settled(world)

    assert (answer.whole, broken) == (False, b"reset")


@pytest.mark.parametrize("reply", [OK, CHUNKED + b"3;x\r\nabc\r\n0\r\nX: y\r\n\r\n", b"HTTP/1.1 103 E\r\n\r\n" + OK])
async def test_an_answer_may_arrive_byte_by_byte(reply: bytes) -> None:
    async def drip(stream: trio.SocketStream, request: bytes) -> bool:
        for byte in reply:
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.0005)
        return True

    async with World().running(Backend([drip])) as world:
        answers = [await world.ask(GET) for _ in range(2)]

    assert [(answer.status, answer.whole) for answer in answers] == [(200, True)] * 2
    assert world.backends[0].connections == 1


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"], ids=["early", "100 refused"])
async def test_a_final_answer_before_the_upload_ends(expect: bytes) -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 413 Big\r\nContent-Length: 2\r\n\r\nno")
        while await stream.receive_some():
            pass

    async with World().running(Raw(refuse)) as world:
        caller = await world.connect()
        await caller.send((POST % 1_000_000).replace(b"\r\n\r\n", b"\r\n" + expect + b"\r\n"))
        if not expect:
            await caller.send(b"x" * 100_000)
        answer = await caller.answer()
        await caller.send(GET)  # part of the body, as far as anybody can tell
        rest = await caller.rest()
        await caller.stream.aclose()
        await settled(world)
        assert (answer.status, answer.get("connection"), rest, connections(world)) == (413, "close", b"", 0)


@pytest.mark.parametrize("request_", [POST % 500_000 + b"x", CHUNKS + b"5\r\nhello\r\n"], ids=["length", "chunked"])
async def test_a_backend_that_resets_an_upload_is_a_502_and_the_connection_closes(request_: bytes) -> None:
    async def snap(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        reset(stream)

    async with World().running(Raw(snap)) as world:
        caller = await world.connect()
        await caller.send(request_)
        answer, rest = await caller.answer(), await caller.rest()
        await caller.stream.aclose()
        await settled(world)

    assert (answer.status, answer.get("connection"), rest) == (502, "close", b"")
    assert world.backends[0].connections == 1  # sent is sent


async def test_an_answer_streams_while_its_upload_still_runs() -> None:
    async def echo(stream: trio.SocketStream) -> None:
        data = await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n" + data.partition(b"\r\n\r\n")[2])
        while not data.endswith(b"end"):
            data = await stream.receive_some()
            await stream.send_all(data)

    async with World().running(Raw(echo)) as world:
        caller = await world.connect()
        await caller.send(POST % 9)
        for piece in (b"one", b"two", b"end"):
            await caller.send(piece)
            with trio.fail_after(5):
                while piece not in caller.buffer:
                    caller.buffer += await caller.stream.receive_some(9999)
        answer = await caller.answer()
        await caller.stream.aclose()
        await settled(world)

    assert (answer.status, answer.body, answer.whole) == (200, b"onetwoend", True)


# Callers that break off.


async def hang(stream: trio.SocketStream) -> None:
    """Answer nothing until the agent ends the connection."""
    try:
        while await stream.receive_some():
            pass
    except trio.BrokenResourceError:
        pass


async def flood(stream: trio.SocketStream) -> None:
    """Answer without end for as long as the agent takes it."""
    await stream.receive_some()
    try:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 65536)
    except trio.BrokenResourceError:
        pass


@pytest.mark.parametrize(
    ("backend", "sent"),
    [
        pytest.param(hang, GET, id="while it waits"),
        pytest.param(hang, GET * 100, id="with more in the pipeline"),
        pytest.param(hang, POST % 1_000_000 + b"x", id="inside its upload"),
        pytest.param(hang, CHUNKS + b"5\r\nhello\r\n", id="inside a chunked upload"),
        pytest.param(flood, GET, id="inside its download"),
        pytest.param(hang, b"CONNECT web:1 HTTP/1.1\r\nHost: x\r\n\r\n" + GET, id="inside a tunnel"),
    ],
)
async def test_a_caller_that_resets_leaves_nothing_behind(
    backend: Callable[[trio.SocketStream], Awaitable[None]], sent: bytes
) -> None:
    pool = ClientPolicy(pool=PoolLimits(max_size=1))
    async with World(client=pool).running(Raw(backend)) as world:
        for _ in range(3):
            caller = await world.connect()
            await caller.send(sent)
            await trio.sleep(0.2)  # beyond the grace for half-closes
            reset(caller.stream)
            await settled(world)
            assert connections(world) == 0
    assert world.backends[0].connections == 3


async def test_a_slow_reader_holds_a_fast_backend_and_no_memory() -> None:
    size = 50_000_000
    sent = 0

    async def pour(stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            piece = min(50_000, size - sent)
            await stream.send_all(bytes(piece))
            sent += piece

    async with World().running(Raw(pour)) as world:
        caller = await world.connect()
        await caller.send(GET)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await trio.sleep(0.5)
        assert sent < size / 2  # the backend waits, too
        received = 0
        while received < size:
            received += len(await caller.stream.receive_some(65536))
        await caller.stream.aclose()

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_000  # KiB
