"""Bodies that stop in the middle are cut off; those that move, however slowly, are not."""

from __future__ import annotations

import socket

import pytest
import trio

from nodeagent.proxy.server import ServerLimits
from tests.nodeagent.proxy.world import OK, Answer, Backend, Caller, World

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n"
CHUNKS = b"POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMIT = 0.3
LONGEST = 5.0
"""Seconds within which a stall of LIMIT is over at the latest, the sweep and a busy machine included."""


def stalling() -> World:
    return World(limits=ServerLimits(stream_idle=LIMIT))


def errors(world: World) -> dict[str, int]:
    return {type_: count for type_, count in world.stats.errors("test").items() if count}


async def cut(caller: Caller) -> None:
    """Expect a break, and no clean end."""
    with trio.fail_after(LONGEST), pytest.raises(trio.BrokenResourceError):
        await read_to_the_end(caller)
    await caller.stream.aclose()


async def read_to_the_end(caller: Caller) -> None:
    while await caller.stream.receive_some(65536):
        pass


async def silent(stream: trio.SocketStream, request: bytes) -> None:
    """Say no more until the agent ends the connection."""
    while await stream.receive_some():
        pass


async def part_of_length(stream: trio.SocketStream, request: bytes) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    await silent(stream, request)


async def part_of_chunks(stream: trio.SocketStream, request: bytes) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    await silent(stream, request)


async def part_until_close(stream: trio.SocketStream, request: bytes) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    await silent(stream, request)


@pytest.mark.parametrize("backend", [part_of_length, part_of_chunks, part_until_close])
async def test_a_backend_that_stops_inside_a_response_is_cut_off_and_never_looks_like_an_end(backend: object) -> None:
    async with stalling().running(Backend([backend])) as world:  # type: ignore[list-item]
        caller = await world.connect()
        await caller.send(GET)
        await cut(caller)
        await trio.testing.wait_all_tasks_blocked(0.01)
        clients = world.router.bindings.clients.values()

        assert [client.connections for client in clients] == [0]
        assert errors(world) == {"http_response_timeout": 1}
        assert world.server.in_flight == 0


@pytest.mark.parametrize(
    "sent", [POST % 9 + b"half", POST % 9, CHUNKS + b"4\r\nhalf\r\n", POST % 100_000 + b"x" * 70_000]
)
async def test_a_caller_that_stops_inside_its_upload_is_told_so(sent: bytes) -> None:
    async with stalling().running(Backend([OK])) as world:
        caller = await world.connect()
        await caller.send(sent)
        with trio.fail_after(LONGEST):
            answer = await caller.answer()
        rest = await caller.rest()
        await caller.stream.aclose()

    assert (answer.status, answer.get("connection"), rest) == (408, "close", b"")
    assert answer.body == b"nothing of the request's body came for 0.3 s\n"
    assert errors(world) == {"http_request_error": 1}


async def test_a_backend_that_takes_no_more_of_an_upload_is_a_504() -> None:
    world = stalling()
    listener = socket.create_server(("127.0.0.1", 0))
    world.dtab = f"/svc/web => /$/inet/127.0.0.1/{listener.getsockname()[1]}"  # accepts, and nobody reads
    with listener:
        async with world.running(), trio.open_nursery() as nursery:
            caller = await world.connect()
            await caller.send(POST % 200_000_000)
            nursery.start_soon(pour, caller)
            with trio.fail_after(LONGEST):
                answer = await caller.answer()
            nursery.cancel_scope.cancel()
            await caller.stream.aclose()

    assert answer.status == 504
    assert answer.body == b"the backend took nothing of the request's body for 0.3 s\n"


async def pour(caller: Caller) -> None:
    try:
        while True:
            await caller.send(b"x" * 65536)
    except trio.BrokenResourceError:
        pass


async def large(stream: trio.SocketStream, request: bytes) -> None:
    size = 50_000_000
    try:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await stream.send_all(bytes(size))
    except trio.BrokenResourceError:
        pass


async def test_a_caller_that_reads_nothing_is_cut_off() -> None:
    async with stalling().running(Backend([large])) as world:
        caller = await world.connect()
        await caller.send(GET)
        with trio.fail_after(LONGEST):
            while not errors(world):
                await trio.sleep(0.05)
        await caller.stream.aclose()

    assert errors(world) == {"http_request_error": 1}


async def test_a_caller_that_reads_slowly_is_not() -> None:
    """So slowly that its kernel takes a little in each limit, and the agent can write nothing more meanwhile."""
    async with stalling().running(Backend([large])) as world:
        stream = await trio.open_tcp_stream("127.0.0.1", world.port)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
        await stream.send_all(GET)
        for _ in range(20):
            await trio.sleep(LIMIT / 4)
            assert await stream.receive_some(30_000)
        assert errors(world) == {}
        await stream.aclose()


async def test_a_stream_that_is_alive_goes_on() -> None:
    async def drip(stream: trio.SocketStream, request: bytes) -> bool:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            await trio.sleep(LIMIT / 2)
            await stream.send_all(b"x")
        return True

    async with stalling().running(Backend([drip])) as world:
        answer = await world.ask(GET)

    assert (answer.status, answer.body, answer.whole) == (200, b"x" * 10, True)


async def test_an_upload_that_is_alive_goes_on() -> None:
    async with stalling().running(Backend([OK])) as world:
        caller = await world.connect()
        await caller.send(POST % 10)
        for _ in range(10):
            await trio.sleep(LIMIT / 2)
            await caller.send(b"x")
        answer = await caller.answer()
        await caller.stream.aclose()

    assert answer.status == 200
    assert world.backends[0].seen[0].endswith(b"x" * 10)


@pytest.mark.parametrize("sent", [GET, POST % 4 + b"body", CHUNKS + b"4\r\nbody\r\n0\r\n\r\n"])
async def test_waiting_for_the_head_of_a_response_is_no_stall(sent: bytes) -> None:
    async def late(stream: trio.SocketStream, request: bytes) -> bool:
        await trio.sleep(LIMIT * 4)
        await stream.send_all(OK)
        return True

    async with stalling().running(Backend([late])) as world:
        caller = await world.connect()
        head, mark, rest = sent.partition(b"\r\n\r\n")
        await caller.send(head + mark)
        await trio.sleep(0.02)  # so that the body streams
        await caller.send(rest)
        answer = await caller.answer()
        await caller.stream.aclose()

    assert answer.status == 200


async def test_after_a_stream_the_connection_idles_by_its_own_limit() -> None:
    async def streamed(stream: trio.SocketStream, request: bytes) -> bool:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        await trio.sleep(0.02)
        await stream.send_all(b"done")
        return True

    answers: list[Answer] = []
    async with stalling().running(Backend([streamed])) as world:
        caller = await world.connect()
        for _ in range(2):
            await caller.send(GET)
            answers.append(await caller.answer())
            await trio.sleep(LIMIT * 3)
        await caller.stream.aclose()

    assert [answer.body for answer in answers] == [b"done"] * 2
