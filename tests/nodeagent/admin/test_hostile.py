"""Callers that mean no good, on real sockets, in bytes: they get no more than their part."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest
import trio

from namer.addr import Endpoint
from nodeagent.admin import connections
from nodeagent.admin.app import admin_app
from nodeagent.admin.connections import MOST, Pace
from nodeagent.admin.guard import AT_ONCE, MAX_QUERY
from nodeagent.admin.peers import Peers
from nodeagent.admin.serve import serve
from nodeagent.listen import listen_unix
from tests.nodeagent.admin.fakes import MACHINE, FakeAgent

OWN = b"Host: 127.0.0.1:9990\r\nConnection: close\r\n"


@asynccontextmanager
async def served(agent: FakeAgent, sock: socket.socket) -> AsyncIterator[None]:
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            run = partial(serve, admin_app(agent, MACHINE), sock, agent.config.admin, shutdown=agent.stopped.wait)
            await nursery.start(run)
            yield
            agent.stopped.set()


@asynccontextmanager
async def on_a_port(agent: FakeAgent) -> AsyncIterator[int]:
    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    async with served(agent, sock):
        yield sock.getsockname()[1]


async def raw(port: int, request: bytes) -> bytes:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        return b"".join([data async for data in stream])


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def status(port: int, request: bytes) -> int:
    return int((await raw(port, request)).split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(b"POST /admin/shutdown HTTP/1.1\r\n%bOrigin: http://evil.org\r\n\r\n" % OWN, 403, id="CSRF"),
        pytest.param(b"POST /admin/shutdown HTTP/1.1\r\n%bOrigin: null\r\n\r\n" % OWN, 403, id="a sandboxed frame"),
        pytest.param(b"POST /admin/shutdown HTTP/1.1\r\n%bSec-Fetch-Site: same-site\r\n\r\n" % OWN, 403, id="a port"),
        pytest.param(b"POST /admin/shutdown HTTP/1.1\r\n%bReferer: http://evil.org/\r\n\r\n" % OWN, 403, id="a form"),
        pytest.param(
            b"POST /logging.json?logger=root&level=debug HTTP/1.1\r\n%bOrigin: http://evil.org\r\n\r\n" % OWN,
            403,
            id="levels by CSRF",
        ),
        pytest.param(
            b"POST /admin/shutdown HTTP/1.1\r\nHost: evil.org\r\nConnection: close\r\n\r\n",
            403,
            id="a name that was rebound",
        ),
        pytest.param(b"GET /config.json HTTP/1.1\r\nHost: evil.org:9990\r\nConnection: close\r\n\r\n", 403, id="reads"),
        pytest.param(
            b"POST http://evil.org/admin/shutdown HTTP/1.1\r\nHost: evil.org\r\nConnection: close\r\n\r\n",
            403,
            id="absolute",
        ),
        pytest.param(b"GET /admin/shutdown HTTP/1.1\r\n%b\r\n" % OWN, 405, id="GET changes nothing"),
        pytest.param(b"HEAD /admin/shutdown HTTP/1.1\r\n%b\r\n" % OWN, 405, id="nor HEAD"),
        pytest.param(b"PUT /logging.json?logger=root&level=debug HTTP/1.1\r\n%b\r\n" % OWN, 405, id="nor PUT"),
        pytest.param(
            b"POST /metrics HTTP/1.1\r\n%bX-HTTP-Method-Override: GET\r\n\r\n" % OWN, 405, id="no methods in fields"
        ),
        pytest.param(
            b"GET /explain.json?path=%b HTTP/1.1\r\n%b\r\n" % (b"/a" * MAX_QUERY, OWN), 400, id="a huge query"
        ),
        pytest.param(b"GET /%b HTTP/1.1\r\n%b\r\n" % (b"x" * 200_000, OWN), 431, id="a huge path"),
        pytest.param(b"GET /live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, id="two hosts"),
        pytest.param(b"GET /live HTTP/1.1\r\n%bX: a\rb\r\n\r\n" % OWN, 400, id="a field that is broken"),
    ],
)
async def test_what_a_browser_can_be_made_to_send_changes_nothing(request_: bytes, expected: int) -> None:
    agent = FakeAgent()
    async with on_a_port(agent) as port:
        assert await status(port, request_) == expected
        assert not agent.stopped.is_set()
        assert agent.levels.standing(0.0) == []


@pytest.mark.parametrize("left", [b"", b"GET /live HT", b"POST /delegator.json HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"])
async def test_connections_that_are_left_open_take_no_place_from_a_probe(left: bytes) -> None:
    agent = FakeAgent()
    before = descriptors()
    async with on_a_port(agent) as port:
        with ExitStack() as opened:
            for _ in range(4 * MOST):
                sock = opened.enter_context(closing(trio.socket.socket()))
                await sock.connect(("127.0.0.1", port))
                await sock.send(left)
            assert await status(port, b"GET /live HTTP/1.1\r\n%b\r\n" % OWN) == 200
            ours = descriptors() - before - 4 * MOST
            assert ours < MOST + 10, "descriptors of the agent: no more than connections may be open"


async def test_who_is_answered_is_not_ended_for_who_comes() -> None:
    """The oldest connection waits for discovery, which says nothing for two seconds."""
    agent = FakeAgent()
    async with on_a_port(agent) as port, await trio.open_tcp_stream("127.0.0.1", port) as asked:
        await asked.send_all(b"GET /explain.json?path=/svc/slow HTTP/1.1\r\n%b\r\n" % OWN)
        await trio.sleep(0.1)
        with ExitStack() as opened:
            for _ in range(MOST + 20):
                opened.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
                await trio.lowlevel.checkpoint()
            await trio.sleep(0.2)
            assert (await asked.receive_some()).startswith(b"HTTP/1.1 200")


async def test_who_takes_nothing_of_large_pages_holds_few_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait their turn, probes do not, and those that stall are cut."""
    monkeypatch.setattr(connections, "STALLED", 2)
    agent = FakeAgent()
    agent.namer.serve("web", *(Endpoint("127.0.0.1", port) for port in range(1, 5_000)))
    agent.use("/svc/web")
    made = 0
    statistics = agent.routers[0].router.bindings.clients.values

    def counted() -> object:
        nonlocal made
        made += 1
        return statistics()

    monkeypatch.setattr(agent.routers[0].router.bindings.clients, "values", counted)
    async with on_a_port(agent) as port:
        streams = []
        for _ in range(AT_ONCE + 3):
            sock = trio.socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await sock.connect(("127.0.0.1", port))
            stream = trio.SocketStream(sock)
            await stream.send_all(b"GET /client_state.json HTTP/1.1\r\n%b\r\n" % OWN)
            streams.append(stream)
        while made < AT_ONCE:
            await trio.sleep(0.01)
        assert await status(port, b"GET /live HTTP/1.1\r\n%b\r\n" % OWN) == 200
        assert made == AT_ONCE
        while made < len(streams):  # those that stall make room
            await trio.sleep(0.01)
        for stream in streams:
            await stream.aclose()


def test_a_pace() -> None:
    pace = Pace(burst=2, rate=10)
    assert [round(pace.wait(5.0), 3) for _ in range(4)] == [0.0, 0.0, 0.1, 0.2]
    assert [round(pace.wait(60.0), 3) for _ in range(3)] == [0.0, 0.0, 0.1]


# A Unix socket


async def ask_unix(path: Path, request: bytes) -> bytes:
    async with await trio.open_unix_socket(path) as stream:
        await stream.send_all(request)
        return b"".join([data async for data in stream])


@pytest.mark.parametrize(("uid", "expected"), [(0, 200), (os.geteuid(), 200), (4711, 200), (4712, 403)])
async def test_the_kernel_says_who_asks_on_a_unix_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, expected: int
) -> None:
    path = tmp_path / "admin.sock"
    agent = FakeAgent()
    monkeypatch.setattr(agent, "config", with_socket(agent, path))
    sock, _ = listen_unix("admin", str(path), mode=0o660)
    as_uid = struct.pack("3i", 1, uid, 0)
    monkeypatch.setattr("trio._socket._SocketType.getsockopt", lambda *_: as_uid)
    async with served(agent, sock):
        answer = await ask_unix(path, b"GET /config.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert int(answer.split(b" ", 2)[1]) == expected
    assert (b"user id 4712 may not ask here; admin.allowUids says who may" in answer) is (expected == 403)


async def test_it_is_asked_in_earnest(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    sock, _ = listen_unix("admin", str(path), mode=0o660)
    ours = socket.socket(socket.AF_UNIX)
    with closing(ours), closing(sock):
        ours.connect(str(path))
        theirs, _ = sock.accept()
        with closing(theirs):
            assert Peers().refusal(trio.socket.from_stdlib_socket(theirs)) is None


def with_socket(agent: FakeAgent, path: Path) -> object:
    from msgspec.structs import replace

    return replace(agent.config, admin=replace(agent.config.admin, path=str(path), allow_uids=(4711,)))
