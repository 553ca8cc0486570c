"""Where one message, one connection, one rule ends and the next begins: what was once seen going wrong there."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

import pytest
import trio
from structlog.testing import capture_logs

from nodeagent.proxy.balance import ClientPolicy
from nodeagent.proxy.edge import Edge
from nodeagent.proxy.pool import PoolLimits
from nodeagent.proxy.server import ConnectionOptions, ServerLimits
from tests.nodeagent.proxy.test_backend_faults import Raw, hang, reset, settled
from tests.nodeagent.proxy.world import OK, Backend, World

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
CONNECT = b"CONNECT web:80 HTTP/1.1\r\nHost: web\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"zz\r\n", id="no size"),
        pytest.param(b"5\r\nhelloXX", id="no CRLF behind the data"),
        pytest.param(b"5\nhello\n", id="bare LF"),
        pytest.param(b"0\r\nX : y\r\n", id="a broken trailer"),
        pytest.param(b"5;" + b"x" * 9000 + b"\r\n", id="a long extension"),
        pytest.param(b"f" * 20 + b"\r\n", id="a size beyond bounds"),
    ],
)
async def test_nothing_behind_broken_chunks_is_a_request(bad: bytes) -> None:
    async with World().running(Backend()) as world:
        caller = await world.connect()
        await caller.send(CHUNKED + bad)
        answer = await caller.answer()
        with suppress(trio.BrokenResourceError):
            await caller.send(GET)
        rest = await caller.rest()
        await caller.stream.aclose()

    assert (answer.status, answer.get("connection"), rest, world.backends[0].seen) == (400, "close", b"", [])


async def test_a_listener_that_believes_no_context_believes_none_in_connect() -> None:
    async with World().running(Backend(), Backend()) as world:
        world.server.edge = Edge(clear_context=True)
        override = b"l5d-dtab: /svc/x => /$/inet/127.0.0.1/%d" % world.backends[1].port
        caller = await world.connect()
        await caller.send(b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n" + override + b"\r\n\r\n")
        answer = await caller.answer("CONNECT")
        await caller.stream.aclose()

    assert (answer.status, answer.get("l5d-err"), world.backends[1].connections) == (502, None, 0)


@pytest.mark.parametrize(
    ("code", "status", "error", "said"),
    [
        pytest.param(errno.EMFILE, 503, "connection_limit_reached", [], id="EMFILE"),
        pytest.param(
            errno.EAFNOSUPPORT,
            502,
            "connection_refused",
            ["an endpoint is out", "no endpoint is alive"],
            id="EAFNOSUPPORT",
        ),
    ],
)
@pytest.mark.parametrize("request_", [GET, CONNECT], ids=["GET", "CONNECT"])
async def test_a_host_without_descriptors_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, code: int, status: int, error: str, said: list[str], request_: bytes
) -> None:
    real = socket.socket

    def fail(family: int = -1, kind: int = -1, *more: int) -> socket.socket:
        if kind & socket.SOCK_CLOEXEC:  # as the dialer asks for it
            raise OSError(code, "no socket")
        return real(family, kind, *more)

    async with World().running(Backend()) as world:
        caller = await world.connect()
        with capture_logs() as logs, monkeypatch.context() as patched:
            patched.setattr("nodeagent.proxy.dial.socket.socket", fail)
            await caller.send(request_)
            answer = await caller.answer("CONNECT")
        await caller.stream.aclose()

    assert (answer.status, f"error={error};" in str(answer.get("proxy-status"))) == (status, True)
    assert [log["event"] for log in logs] == said


async def test_one_broken_socket_does_not_end_the_listener() -> None:
    class Broken(ConnectionOptions):
        def apply(self, sock: socket.socket) -> None:
            raise OSError(errno.EINVAL, "broken")

    async with World().running(Backend()) as world:
        good, world.server._options = world.server._options, Broken()
        caller = await world.connect()
        assert await caller.rest() == b""
        await caller.stream.aclose()
        world.server._options = good
        answer = await world.ask(GET)

    assert answer.status == 200


async def test_a_connection_whose_end_ended_an_answer_is_never_used_again() -> None:
    async def reply(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await trio.sleep(0.05)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\nhello")

    statuses: list[int] = []
    world = World(client=ClientPolicy(pool=PoolLimits(max_size=1)))

    async def client() -> None:
        statuses.append((await world.ask(GET.replace(b"GET", b"POST"))).status)

    async with world.running(Raw(reply)), trio.open_nursery() as clients:
        for _ in range(4):
            clients.start_soon(client)

    assert statuses == [200] * 4


@pytest.mark.parametrize("half_closed", [False, True])
async def test_a_reset_is_no_half_close_however_early(half_closed: bool) -> None:
    async with World().running(Raw(hang)) as world:
        caller = await world.connect()
        await caller.send(GET)
        await trio.sleep(0.02)
        if half_closed:
            await caller.stream.send_eof()
            await trio.sleep(0.02)
        reset(caller.stream)
        await settled(world)


async def test_a_half_close_behind_a_long_upload_is_answered() -> None:
    async def slowly(stream: trio.SocketStream, request: bytes) -> bool:
        await trio.sleep(0.2)
        await stream.send_all(OK)
        return True

    async with World().running(Backend([slowly])) as world:
        caller = await world.connect()
        await caller.send(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\naaaaa")
        await trio.sleep(0.3)
        await caller.send(b"bbbbb")
        await caller.stream.send_eof()
        answer = await caller.answer()
        await caller.stream.aclose()

    assert answer.status == 200


async def test_tunnels_count_as_requests() -> None:
    async with World(limits=ServerLimits(concurrent=1)).running(Raw(hang)) as world:
        callers = [await world.connect() for _ in range(2)]
        statuses = []
        for caller in callers:
            await caller.send(CONNECT)
            statuses.append((await caller.answer("CONNECT")).status)
        for caller in callers:
            await caller.stream.aclose()
        await settled(world)

    assert (statuses, world.server.in_flight) == ([200, 503], 0)


async def test_a_tunnel_has_the_callers_deadline() -> None:
    async with World().running(Raw(hang)) as world:
        answer = await world.ask(CONNECT[:-2] + b"l5d-ctx-deadline: 1 1\r\n\r\n", method="CONNECT")

    assert (answer.status, world.backends[0].connections) == (504, 0)


@pytest.mark.parametrize(
    ("section", "status"),
    [pytest.param(8192, 200, id="all that maxHeadersKB allows"), pytest.param(8193, 431, id="a byte more")],
)
async def test_the_header_section_is_measured_to_the_byte(section: int, status: int) -> None:
    host = b"\r\nHost: web"
    async with World().running(Backend()) as world:
        answer = await world.ask(b"GET / HTTP/1.1" + host + b"\r\nX: " + b"y" * (section - len(host) - 5) + b"\r\n\r\n")

    assert answer.status == status


async def test_a_header_limit_below_the_lines_limit_holds() -> None:
    async with World(limits=ServerLimits(line=4096, head=1024)).running(Backend()) as world:
        answer = await world.ask(b"GET / HTTP/1.1\r\nHost: web\r\nX: " + b"y" * 2000 + b"\r\n\r\n")

    assert (answer.status, world.backends[0].seen) == (431, [])


async def test_a_request_on_its_way_when_the_drain_begins_is_answered() -> None:
    async with World().running(Backend()) as world:
        caller = await world.connect()
        await caller.send(GET)
        await caller.answer()
        world.server.drain()
        await trio.testing.wait_all_tasks_blocked(0.01)
        await caller.send(GET)
        answer = await caller.answer()
        rest = await caller.rest()
        await caller.stream.aclose()

    assert (answer.status, answer.get("connection"), rest) == (200, "close", b"")
