"""Who calls, told by a header before all else: from a load balancer to the agent, and from the agent to endpoints."""

from __future__ import annotations

import socket

import pytest
import trio
import trio.testing

from nodeagent.proxy.proxyheader import ProxyHeaderError, parse
from nodeagent.proxy.readproxyheader import read_proxy_header
from nodeagent.proxy.wire import Wire
from tests.nodeagent.proxy.world import OK, Caller, listen
from tests.nodeagent.running import Running, running

V1 = b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n"
GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"


class Listening:
    """An endpoint that takes the header off each connection and answers whatever comes behind it."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.port = 0
        self.headers: list[bytes] = []
        self.seen: list[bytes] = []

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        sock = listen()
        self.port = sock.getsockname()[1]
        async with trio.SocketListener(trio.socket.from_stdlib_socket(sock)) as listener:
            task_status.started()
            await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            data = b""
            while (header := parse(data)) is None:
                data += await stream.receive_some()
            self.headers.append(data[: header.size])
            data = data[header.size :]
            while data := data or await stream.receive_some():
                self.seen.append(data)
                await stream.send_all(self.answer)
                data = b""


def http(port: int, server: str = "{port: 0}", client: str = "{}") -> str:
    return f"- protocol: http\n  dtab: /svc => /$/inet/127.0.0.1/{port}\n  servers: [{server}]\n  client: {client}\n"


async def until_errors(run: Running, count: int) -> None:
    with trio.fail_after(5):
        while f"}} {count}.0" not in "".join(
            line
            for line in (await run.admin("/metrics")).body.decode().splitlines()
            if line.startswith("nodeagent_server_proxy_header_errors_total")
        ):
            await trio.sleep(0.01)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_the_source_survives_the_way_through(version: str, at_once: bool) -> None:
    """A load balancer tells the agent, and the agent the endpoint."""
    backend = Listening()
    server = "{port: 0, proxyProtocol: true, addForwardedHeader: {for: {kind: 'ip:port'}}}"
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        text = http(backend.port, server, f"{{proxyProtocol: {version}}}")
        async with running(text) as run, await run.connect("router http") as stream:
            caller = Caller(stream)
            whole = V1 + GET
            for piece in [whole] if at_once else [whole[at : at + 1] for at in range(len(whole))]:
                await caller.send(piece)
            first = await caller.answer()
            await caller.send(GET)
            second = await caller.answer()
        nursery.cancel_scope.cancel()

    assert (first.status, second.status) == (200, 200)
    read = [parse(header) for header in backend.headers]
    assert [header and header.source for header in read] == ["192.0.2.7:56324"] * 2, "a connection for each request"
    assert all(header.startswith(b"PROXY TCP4") == (version == "v1") for header in backend.headers)
    assert b'for="192.0.2.7:56324"' in backend.seen[0]


@pytest.mark.parametrize("said", [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"])
async def test_a_load_balancer_may_speak_for_itself(said: bytes) -> None:
    backend = Listening()
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        text = http(backend.port, "{port: 0, proxyProtocol: true}", "{proxyProtocol: v1}")
        async with running(text) as run, await run.connect("router http") as stream:
            here = stream.socket.getsockname()
            caller = Caller(stream)
            await caller.send(said + GET)
            answer = await caller.answer()
        nursery.cancel_scope.cancel()

    assert answer.status == 200
    assert backend.headers == [f"PROXY TCP4 {here[0]} 127.0.0.1 {here[1]} {backend.port}\r\n".encode()]


async def test_a_connection_without_the_header_is_closed_and_counted() -> None:
    async with running(http(1, "{port: 0, proxyProtocol: true}")) as run:
        async with await run.connect("router http") as stream:
            await stream.send_all(GET)
            with trio.fail_after(5):
                try:
                    heard = await stream.receive_some()
                except trio.BrokenResourceError:
                    heard = b""
        async with await run.connect("router http"):
            pass
        await until_errors(run, 2)

    assert heard == b""


async def test_a_header_that_does_not_come_in_time(autojump_clock: trio.testing.MockClock) -> None:
    near, far = socket.socketpair()
    wire = Wire(near)
    far.send(V1[:20])
    with pytest.raises(ProxyHeaderError, match="did not come within 10 s"):
        await read_proxy_header(wire, "peer", 10)
    wire.close()
    far.close()


@pytest.mark.parametrize("protocol", ["tcp", "connect"])
async def test_tunnels_begin_with_the_header(protocol: str) -> None:
    backend = Listening(b"pong")
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        text = http(backend.port, client="{proxyProtocol: v1}")
        if protocol == "tcp":
            text = text.replace("protocol: http", "protocol: tcp\n  label: http").replace(
                "port: 0", "port: 0, name: web"
            )
        async with running(text) as run, await run.connect("router http") as stream:
            here = stream.socket.getsockname()
            caller = Caller(stream)
            if protocol == "connect":
                await caller.send(b"CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\n\r\n")
                await caller.answer("CONNECT")
            await caller.send(b"ping")
            with trio.fail_after(5):
                pong = await stream.receive_some()
        nursery.cancel_scope.cancel()

    assert (backend.seen, pong) == ([b"ping"], b"pong")
    assert backend.headers == [f"PROXY TCP4 {here[0]} 127.0.0.1 {here[1]} {backend.port}\r\n".encode()]


@pytest.mark.parametrize(
    ("version", "header"),
    [("v1", b"PROXY UNKNOWN\r\n"), ("v2", b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00")],
)
async def test_health_checks_speak_for_the_agent_itself(version: str, header: bytes) -> None:
    backend = Listening()
    check = "{kind: http, intervalMs: 100}"
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        text = http(backend.port, client=f"{{proxyProtocol: {version}, healthCheck: {check}}}")
        async with running(text) as run:
            assert (await run.ask("router http", GET)).status == 200
            with trio.fail_after(5):
                while header not in backend.headers:
                    await trio.sleep(0.01)
            metrics = (await run.admin("/metrics")).body
        nursery.cancel_scope.cancel()

    assert b'result="failed"' not in metrics
