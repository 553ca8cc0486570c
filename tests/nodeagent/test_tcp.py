"""Connections through a tcp router: any bytes, to one of the endpoints of a name."""

from __future__ import annotations

import hashlib
import json
import pathlib
import socket
import ssl
from collections.abc import Awaitable, Callable

import pytest
import trio
import trustme

import conf
from nodeagent.agent import Agent
from tests.nodeagent.proxy.world import Backend, Caller, free_port, listen, queue_is_full
from tests.nodeagent.running import Running, running

BANNER = b"\x4a\x00\x00\x00\x0a8.0.36\x00"
"""What a MySQL server says first."""

Serve = Callable[[trio.SocketStream], Awaitable[None]]


async def serve(handler: Serve, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """An endpoint that serves each connection by `handler`."""
    sock = listen()
    async with trio.SocketListener(trio.socket.from_stdlib_socket(sock)) as listener:
        task_status.started(sock.getsockname()[1])
        await trio.serve_listeners(handler, [listener])


async def echo(stream: trio.SocketStream) -> None:
    async with stream:
        async for data in stream:
            await stream.send_all(data)
        await stream.send_eof()


async def greet(stream: trio.SocketStream) -> None:
    async with stream:
        await stream.send_all(BANNER)
        await stream.receive_some()


async def count(stream: trio.SocketStream) -> None:
    """Say how many bytes came, once all of them did."""
    async with stream:
        total = 0
        async for data in stream:
            total += len(data)
        await stream.send_all(b"%d bytes" % total)


def router(*ports: int, more: str = "", server: str = "") -> str:
    """A tcp router whose `db` is served at these ports."""
    dtab = " & ".join(f"1 * /$/inet/127.0.0.1/{port}" for port in ports)
    return f"- protocol: tcp\n  dtab: /svc/users/db => {dtab}\n  servers: [{{port: 0, name: users/db{server}}}]\n{more}"


async def metrics(run: Running) -> str:
    return (await run.admin("/metrics")).body.decode()


async def until_counted(run: Running, line: str) -> None:
    with trio.fail_after(5):
        while line not in await metrics(run):
            await trio.sleep(0.01)


async def is_reset(stream: trio.SocketStream) -> bool:
    """Whether what the agent does to a connection is a break and no end."""
    with trio.fail_after(5):
        try:
            return await stream.receive_some() is None
        except trio.BrokenResourceError as error:
            return isinstance(error.__cause__, ConnectionResetError)


async def test_a_server_that_speaks_first_is_heard_at_once() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, greet)
        async with running(router(port)) as run, await run.connect("router tcp") as stream:
            with trio.fail_after(5):
                heard = await stream.receive_some()
        nursery.cancel_scope.cancel()

    assert heard == BANNER


async def test_what_is_sent_comes_back_whole_and_in_order() -> None:
    piece = bytes(range(256)) * 4096
    sent, received = hashlib.sha256(), hashlib.sha256()

    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, echo)
        async with running(router(port)) as run, await run.connect("router tcp") as stream:

            async def send() -> None:
                for _ in range(64):
                    sent.update(piece)
                    await stream.send_all(piece)
                await stream.send_eof()

            nursery.start_soon(send)
            with trio.fail_after(60):
                async for data in stream:
                    received.update(data)
            await until_counted(run, 'nodeagent_tunnels{router="tcp"} 0.0')
            page = await metrics(run)
        nursery.cancel_scope.cancel()

    assert received.digest() == sent.digest()
    for direction in ("sent", "received"):
        assert f'nodeagent_tunnel_bytes_total{{direction="{direction}",router="tcp"}} 67108864.0' in page


async def test_a_caller_that_has_sent_all_gets_the_whole_reply() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, count)
        async with running(router(port)) as run, await run.connect("router tcp") as stream:
            await stream.send_all(b"x" * 100_000)
            await stream.send_eof()
            reply = b""
            with trio.fail_after(5):
                async for data in stream:
                    reply += data
        nursery.cancel_scope.cancel()

    assert reply == b"100000 bytes"


async def test_connections_are_counted_and_shown_as_such() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, greet)
        async with running(router(port)) as run:
            async with await run.connect("router tcp") as stream:
                await stream.receive_some()
                during = await metrics(run)
                state = json.loads((await run.admin("/client_state.json")).body)
                explained = json.loads((await run.admin("/explain.json?path=/svc/users/db")).body)
            client = f'client="/$/inet/127.0.0.1/{port}",router="tcp"'
            await until_counted(run, f'nodeagent_client_requests_total{{classification="success",{client}}} 1.0')
        nursery.cancel_scope.cancel()

    server = f'router="tcp",server="127.0.0.1:{run.port("router tcp")}"'
    for line in (
        f'nodeagent_server_requests_total{{{server},status_class="2XX"}} 1.0',
        f"nodeagent_server_connections{{{server}}} 1.0",
        'nodeagent_service_requests_total{classification="success",router="tcp",service="/svc/users/db"} 1.0',
        f"nodeagent_client_connections{{{client}}} 1.0",
        'nodeagent_tunnels{router="tcp"} 1.0',
        f'nodeagent_tunnel_bytes_total{{direction="received",router="tcp"}} {len(BANNER)}.0',
    ):
        assert line in during
    assert state[f"/$/inet/127.0.0.1/{port}"]["endpoints"] == [f"127.0.0.1:{port}"]
    assert explained["bound"][0]["endpoints"] == [f"127.0.0.1:{port}"]


async def test_an_endpoint_that_refuses_is_passed_over(tmp_path: pathlib.Path) -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, greet)
        (tmp_path / "db").write_text(f"127.0.0.1 {free_port()}\n127.0.0.1 {free_port()}\n127.0.0.1 {port}\n")
        text = "- protocol: tcp\n  dtab: /svc => /#/io.l5d.fs\n  servers: [{port: 0, name: db}]\n"
        async with running(text, f"[{{kind: io.l5d.fs, rootDir: {tmp_path}}}]") as run:
            for _ in range(10):
                async with await run.connect("router tcp") as stream:
                    assert await stream.receive_some() == BANNER
        nursery.cancel_scope.cancel()


async def test_the_name_of_a_listener_is_bound_before_anybody_calls(tmp_path: pathlib.Path) -> None:
    (tmp_path / "db").write_text("127.0.0.1 80\n")
    text = "- protocol: tcp\n  dtab: /svc => /#/io.l5d.fs\n  servers: [{port: 0, name: db}]\n"
    async with running(text, f"[{{kind: io.l5d.fs, rootDir: {tmp_path}}}]") as run:
        with trio.fail_after(5):
            await run.agent.primed.wait()
        names = [binding.path.show() for binding in run.agent.routers[0].router.bindings.names.values()]

    assert names == ["/svc/db"]


@pytest.mark.parametrize(
    ("dtab", "error"),
    [
        pytest.param("/svc/db => /$/inet/127.0.0.1/{port}", "connection_refused", id="nobody listens"),
        pytest.param("/svc/other => /$/inet/127.0.0.1/{port}", "destination_not_found", id="no such name"),
    ],
)
async def test_a_caller_that_cannot_be_served_sees_a_break_and_no_end(
    dtab: str, error: str, capfd: pytest.CaptureFixture[str]
) -> None:
    text = f"- protocol: tcp\n  dtab: {dtab.format(port=free_port())}\n  servers: [{{port: 0, name: db}}]\n"
    async with running(text) as run:
        async with await run.connect("router tcp") as stream:
            reset = await is_reset(stream)
        page = await metrics(run)

    assert reset
    assert f'nodeagent_errors_total{{error="{error}",router="tcp"}} 1.0' in page
    assert 'nodeagent_service_requests_total{classification="failure",router="tcp",service="/svc/db"} 1.0' in page
    assert 'status_class="error"} 1.0' in page
    said = "".join(capfd.readouterr())
    assert "a connection is reset" in said
    assert "/svc/db" in said or "connection refused" in said


async def test_one_connection_too_many_is_reset() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, greet)
        async with (
            running(router(port, server=", maxConcurrentRequests: 1")) as run,
            await run.connect("router tcp") as first,
            await run.connect("router tcp") as second,
        ):
            heard = await first.receive_some()
            reset = await is_reset(second)
        nursery.cancel_scope.cancel()

    assert (heard, reset) == (BANNER, True)


async def test_a_silent_connection_ends() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, greet)
        idle = ", serverSession: {idleTimeMs: 200}"
        async with running(router(port, server=idle)) as run, await run.connect("router tcp") as stream:
            with trio.fail_after(5):
                rest = [data async for data in stream]
        nursery.cancel_scope.cancel()

    assert rest == [BANNER]


async def test_a_drain_lets_connections_go_on_until_the_grace_time_is_over() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, echo)
        agent = Agent(conf.load(f"admin: {{port: 0, shutdownGraceMs: 500}}\nrouters:\n{router(port)}", "test"))
        async with trio.open_nursery() as life:
            run = Running(agent, await life.start(agent.run))
            async with await run.connect("router tcp") as stream:
                await stream.send_all(b"before")
                before = await stream.receive_some()
                agent.shutdown()
                await trio.sleep(0.1)
                await stream.send_all(b"after")
                after = await stream.receive_some()
                with trio.fail_after(5):
                    end = await stream.receive_some()
        nursery.cancel_scope.cancel()

    assert (before, after, end) == (b"before", b"after", b"")


async def test_tls_is_spoken_to_the_endpoint_on_behalf_of_the_caller(tmp_path: pathlib.Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("db.internal").configure_cert(context)

    async def secure(stream: trio.SocketStream) -> None:
        async with trio.SSLStream(stream, context, server_side=True) as wrapped:
            await wrapped.send_all(BANNER)
            async for data in wrapped:
                await wrapped.send_all(data)

    tls = f"  client: {{tls: {{commonName: db.internal, trustCertsBundle: {tmp_path / 'ca.pem'}}}}}\n"
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, secure)
        async with running(router(port, more=tls)) as run, await run.connect("router tcp") as stream:
            with trio.fail_after(5):
                banner = await stream.receive_some()
                await stream.send_all(b"ping")
                pong = await stream.receive_some()
                await stream.send_eof()
                end = await stream.receive_some()
        nursery.cancel_scope.cancel()

    assert (banner, pong, end) == (BANNER, b"ping", b"")


async def test_what_goes_through_connect_is_not_wrapped_in_tls() -> None:
    """Its caller speaks with the endpoint itself, whatever requests are sent by."""
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, echo)
        tls = "  client: {tls: {disableValidation: true}}\n"
        text = f"- protocol: http\n  dtab: /svc => /$/inet/127.0.0.1/{port}\n  servers: [{{port: 0}}]\n{tls}"
        async with running(text) as run, await run.connect("router http") as stream:
            caller = Caller(stream)
            await caller.send(b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n")
            assert (await caller.answer("CONNECT")).status == 200
            await caller.send(b"ping")
            with trio.fail_after(5):
                pong = await stream.receive_some()
        nursery.cancel_scope.cancel()

    assert pong == b"ping"


async def test_a_caller_that_breaks_off_while_its_endpoint_is_dialled_is_counted() -> None:
    with queue_is_full() as port:
        async with running(router(port)) as run:
            (server,) = run.agent.routers[0].servers
            stream = await run.connect("router tcp")
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            with trio.fail_after(5):
                while not server.in_flight:
                    await trio.sleep(0.01)
                await stream.aclose()
                while server.in_flight:
                    await trio.sleep(0.01)
            await until_counted(run, 'status_class="error"} 1.0')


async def test_an_http_port_may_stand_for_one_name_whatever_is_asked_for() -> None:
    def port_of_users(ports: list[int]) -> str:
        rules = f"/svc/users => /$/inet/127.0.0.1/{ports[0]} ; /svc/other => /$/inet/127.0.0.1/{ports[1]}"
        return f"- protocol: http\n  dtab: {rules}\n  servers: [{{port: 0, name: users}}]\n"

    async with trio.open_nursery() as nursery:
        users, other = Backend(), Backend()
        await nursery.start(users.run)
        await nursery.start(other.run)
        async with running(port_of_users([users.port, other.port])) as run:
            for asked in (b"/ HTTP/1.1\r\nHost: other:81", b"http://other/ HTTP/1.1\r\nHost: x"):
                assert (await run.ask("router http", b"GET " + asked + b"\r\n\r\n")).status == 200
            async with await run.connect("router http") as stream:
                caller = Caller(stream)
                await caller.send(b"CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n")
                assert (await caller.answer("CONNECT")).status == 200
                await caller.send(b"GET / HTTP/1.1\r\nHost: tunnel\r\n\r\n")
                assert (await caller.answer()).status == 200
                tunnels = await metrics(run)
        nursery.cancel_scope.cancel()

    assert [request.split(b"\r\n")[1] for request in users.seen] == [b"Host: other:81", b"Host: other", b"Host: tunnel"]
    assert other.seen == []
    assert 'nodeagent_tunnels{router="http"} 1.0' in tunnels
