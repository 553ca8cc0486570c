"""Callers over real sockets: connections are kept or not, and every request ends once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from bench.resilience.caller import BROKEN, TIMEOUT, Call, Callers, request

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HEAD = b"\r\n\r\n"


def outcomes(script: Script, count: int = 1, *, keep_alive: bool = True, timeout: float = 5.0) -> list[int]:
    """What so many calls, one after the other, came to with a server that follows *script* on each connection."""

    conversations = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.add(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError):
            await script(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def play() -> list[int]:
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        callers = Callers(server.sockets[0].getsockname()[1], keep_alive=keep_alive, timeout=timeout)
        seen = []
        for _ in range(count):
            ended: asyncio.Future[int] = loop.create_future()

            def done(_: Call, outcome: int, ended: asyncio.Future[int] = ended) -> None:
                ended.set_result(outcome)

            callers.ask("/", loop.time(), done)
            seen.append(await ended)
        callers.hang_up()
        server.close()
        await asyncio.gather(*filter(None, conversations))
        return seen

    return asyncio.run(play())


def test_a_request_is_for_the_service_and_says_whether_the_connection_is_kept() -> None:
    assert request("/x", keep_alive=True).startswith(b"GET /x HTTP/1.1\r\nHost: web\r\n")
    assert b"\r\nConnection: keep-alive\r\n" in request("/", keep_alive=True)
    assert request("/", keep_alive=False).endswith(b"Connection: close\r\n\r\n")


def test_a_connection_is_used_again() -> None:
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        while True:
            await reader.readuntil(HEAD)
            writer.write(OK)

    assert outcomes(serve, 3) == [200, 200, 200]
    assert len(connections) == 1


@pytest.mark.parametrize(
    ("keep_alive", "answer"),
    [
        pytest.param(False, OK, id="the caller does not keep connections"),
        pytest.param(True, OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), id="the answer says so"),
    ],
)
def test_a_new_connection_each_time(keep_alive: bool, answer: bytes) -> None:
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        while True:
            await reader.readuntil(HEAD)
            writer.write(answer)

    assert outcomes(serve, 3, keep_alive=keep_alive) == [200, 200, 200]
    assert len(connections) == 3


def test_an_answer_in_pieces_is_one() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(HEAD)
        for piece in (b"HTTP/1.1 503 Service", b" Unavailable\r\nContent-Length: 4\r\n", b"\r\nab", b"cd"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    assert outcomes(serve) == [503]


@pytest.mark.parametrize("part", [b"", OK[:20], OK[:-1]], ids=["nothing", "half a head", "half a body"])
def test_an_answer_that_is_not_whole_is_broken(part: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(HEAD)
        writer.write(part)

    assert outcomes(serve) == [BROKEN]


def test_a_caller_gives_up_and_hangs_up() -> None:
    hung_up: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(HEAD)
        if not hung_up:
            hung_up.append(await reader.read(1))
        writer.write(OK)

    assert outcomes(serve, 2, timeout=0.2) == [TIMEOUT, 200]
    assert hung_up == [b""]


def test_what_nobody_asked_for_is_no_answer() -> None:
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await reader.readuntil(HEAD)
        writer.write(OK + OK.replace(b"200", b"408"))
        await reader.read(1)

    assert outcomes(serve, 2) == [200, 200]
    assert len(connections) == 2


def test_a_refused_connection_is_broken() -> None:
    async def play() -> int:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()
        callers = Callers(port, keep_alive=True, timeout=5.0)
        callers.ask("/", loop.time(), lambda _, outcome: ended.set_result(outcome))
        return await ended

    assert asyncio.run(play()) == BROKEN
