"""The real server on a real socket: it answers, holds to its limits, and ends when told."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import pytest
import trio
import trio.testing

from namer.addr import Endpoint
from nodeagent.admin.app import admin_app
from nodeagent.admin.door import MAX_HEAD
from nodeagent.admin.serve import serve
from tests.nodeagent.admin.fakes import MACHINE, FakeAgent


@asynccontextmanager
async def served(agent: FakeAgent) -> AsyncIterator[int]:
    """Serve the pages of `agent` until it is shut down; gives the port."""
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            run = partial(serve, admin_app(agent, MACHINE), sock, agent.config.admin, shutdown=agent.stopped.wait)
            await nursery.start(run)
            yield port
            agent.stopped.set()


async def raw(port: int, request: bytes) -> bytes:
    """Send bytes on a connection of their own, and read until the server closes it."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        return b"".join([data async for data in stream])


async def test_it_answers_until_it_is_shut_down_through_its_own_page() -> None:
    agent = FakeAgent()
    async with served(agent) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/admin/ping")).text == "pong"
        explained = await client.get("/explain.json?path=/svc/web")
        assert explained.json()["bound"][0]["endpoints"] == ["127.0.0.1:8081", "127.0.0.1:8082"]
        assert "server" not in explained.headers
        assert (await client.post("/admin/shutdown")).text == "shutting down\n"
        await agent.stopped.wait()
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", port)


async def test_cancelling_ends_it_at_once() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    async with trio.open_nursery() as nursery:
        agent = FakeAgent()
        run = partial(serve, admin_app(agent, MACHINE), sock, agent.config.admin, shutdown=trio.sleep_forever)
        await nursery.start(run)
        async with await trio.open_tcp_stream("127.0.0.1", port) as idle:
            await idle.send_all(b"GET /live HTTP/1.1\r\n")
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"GET /live HTTP/1.0\r\n\r\n", b"200", id="HTTP/1.0 without Host, as simple probes send it"),
        pytest.param(b"GET /live HTTP/1.1\r\nHost: evil.org\r\nConnection: close\r\n\r\n", b"403", id="a rebound name"),
        pytest.param(b"GET /live HTTP/1.1\r\n\r\n", b"400", id="HTTP/1.1 without Host"),
        pytest.param(b"nonsense\r\n\r\n", b"400", id="no HTTP"),
        pytest.param(b"GET /live HTTP/1.1\r\nX: " + b"x" * 2 * MAX_HEAD, b"431", id="a head without end"),
    ],
)
async def test_requests_as_bytes(request_: bytes, status: bytes) -> None:
    async with served(FakeAgent()) as port:
        answer = await raw(port, request_)
    assert answer.split(b" ")[1] == status


async def test_an_idle_caller_does_not_hold_up_the_end() -> None:
    async with served(FakeAgent()) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
    await stream.aclose()


@pytest.mark.parametrize("begun", [b"", b"GET /live HT"])
async def test_nor_does_one_that_has_asked_nothing(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr("nodeagent.admin.serve.GRACE", 60.0)
    monkeypatch.setattr("nodeagent.admin.door.PATIENCE", 60.0)
    async with served(FakeAgent()) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(begun)
        await trio.testing.wait_all_tasks_blocked()
    with contextlib.suppress(trio.BrokenResourceError):  # what it sent may not have been read
        assert await stream.receive_some() == b""
    await stream.aclose()


async def test_who_asks_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodeagent.admin.door.PATIENCE", 0.1)
    async with served(FakeAgent()) as port:
        for begun in (b"", b"GET /live HT"):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(begun)
                assert await stream.receive_some() == b""
        assert await raw(port, b"GET /live HTTP/1.0\r\n\r\n")


async def test_nobody_is_let_in_while_there_is_no_descriptor_left(monkeypatch: pytest.MonkeyPatch) -> None:
    accept, refused = socket.socket.accept, 0

    def fails_twice(sock: socket.socket) -> tuple[socket.socket, object]:
        nonlocal refused
        if refused < 2:
            refused += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(sock)

    async with served(FakeAgent()) as port:
        monkeypatch.setattr(socket.socket, "accept", fails_twice)
        assert (await raw(port, b"GET /live HTTP/1.0\r\n\r\n")).split(b" ")[1] == b"200"
    assert refused == 2


@pytest.mark.parametrize("head", [b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /live HTTP/1.0\n\n"])
async def test_a_head_may_come_byte_by_byte(head: bytes) -> None:
    async with served(FakeAgent()) as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        for at in range(len(head)):
            await stream.send_all(head[at : at + 1])
            await trio.testing.wait_all_tasks_blocked()
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


async def test_a_caller_that_takes_nothing_of_its_answer_does_not_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodeagent.admin.connections.STALLED", 0.2)
    agent = FakeAgent()
    agent.namer.serve("web", *(Endpoint("127.0.0.1", port) for port in range(1, 60_000)))
    agent.use("/svc/web")
    async with served(agent) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"GET /client_state.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await stream.receive_some(10)) == b"HTTP/1.1 2"
    await stream.aclose()
