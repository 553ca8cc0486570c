"""Upgrade: a connection switches to another protocol when its backend says 101, and only then."""

from __future__ import annotations

import contextlib

import pytest
import trio

from balancer.hedge import HedgeParams
from balancer.limiter import AdmissionParams, FixedParams
from nodeagent.proxy.server import ServerLimits
from tests.nodeagent.proxy.world import OK, Backend, World

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The pair of RFC 6455, 1.3."""
VERSION = b"Sec-WebSocket-Version: 13"


def asking(*lines: bytes, first: bytes = b"GET /chat HTTP/1.1") -> bytes:
    return b"\r\n".join((first, b"Host: web", *lines, b"", b""))


def agreed(*lines: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 101 Switching Protocols", *lines, b"", b""))


WEBSOCKET = asking(b"connection: keep-alive, Upgrade", b"upgrade: websocket", KEY, VERSION)
YES = agreed(b"Upgrade: websocket", b"Connection: upgrade", ACCEPT)
OTHER = asking(b"Connection: Upgrade", b"Upgrade: tcp")
YES_OTHER = agreed(b"Connection: Upgrade", b"Upgrade: tcp")


async def echo(stream: trio.SocketStream, request: bytes) -> None:
    """Agree to what is asked for, with the first word right behind, and say everything twice."""
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all((YES if b"websocket" in request.lower() else YES_OTHER) + b"hello ")
        async for data in stream:
            await stream.send_all(data * 2)
        await stream.send_all(b"bye")
        await stream.send_eof()


@pytest.mark.parametrize(("sent", "protocol"), [(WEBSOCKET, b"websocket"), (OTHER, b"tcp")])
async def test_a_connection_that_was_switched_carries_whatever_either_side_says(sent: bytes, protocol: bytes) -> None:
    async with World().running(Backend([echo])) as world:
        caller = await world.connect()
        await caller.send(sent)
        answer = await caller.answer()
        await caller.send(b"GET / HTTP/1.1\r\n\r\n")  # no request any more
        with trio.fail_after(5):
            while len(caller.buffer) < 6 + 36:
                caller.buffer += await caller.stream.receive_some()
        await caller.stream.send_eof()
        rest = await caller.rest()
        await trio.testing.wait_all_tasks_blocked(0.01)
        (client,) = world.router.bindings.clients.values()
        await caller.stream.aclose()

        assert answer.status == 101
        assert answer.get("upgrade") == protocol.decode()
        assert (answer.get("connection"), answer.get("via")) == ("Upgrade", "1.1 nodeagent")
        assert answer.get("content-length") is None
        assert rest == b"hello " + b"GET / HTTP/1.1\r\n\r\n" * 2 + b"bye"
        assert b"\r\nConnection: Upgrade\r\nUpgrade: " + protocol + b"\r\n" in world.backends[0].seen[0]
        assert (client.connections, client.stats.success, client.stats.pending) == (0, 1, 0)
        assert world.server.in_flight == 0


async def test_the_fields_of_the_handshake_pass_unchanged() -> None:
    async with World().running(Backend([echo])) as world:
        caller = await world.connect()
        await caller.send(WEBSOCKET.replace(VERSION, VERSION + b"\r\nSec-WebSocket-Protocol: chat, superchat"))
        answer = await caller.answer()
        await caller.stream.aclose()

    assert answer.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert KEY + b"\r\n" + VERSION + b"\r\nSec-WebSocket-Protocol: chat, superchat\r\n" in world.backends[0].seen[0]


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(OK, id="200"),
        pytest.param(
            OK.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), id="200, Upgrade"
        ),
        pytest.param(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nContent-Length: 0\r\n\r\n", id="426"),
    ],
)
async def test_any_other_answer_is_an_ordinary_one(reply: bytes) -> None:
    async with World().running(Backend([reply])) as world:
        caller = await world.connect()
        await caller.send(WEBSOCKET)
        first = await caller.answer()
        await caller.send(WEBSOCKET)
        second = await caller.answer()
        await caller.stream.aclose()

    assert first.status == second.status == int(reply.split()[1])
    assert first.get("upgrade") is None
    assert world.backends[0].connections == 1


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((b"Upgrade: websocket", KEY, VERSION), id="not nominated by Connection"),
        pytest.param((b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), id="h2c"),
        pytest.param((b"Connection: Upgrade", b"Upgrade: TLS/1.2"), id="TLS"),
        pytest.param((b"Connection: Upgrade", b"Upgrade: HTTP/2.0"), id="HTTP"),
        pytest.param((b"Connection: Upgrade", b"Upgrade: a b"), id="no token"),
        pytest.param((b"Connection: Upgrade", b"Upgrade:"), id="nothing"),
    ],
)
async def test_what_cannot_be_relayed_is_not_asked_for(lines: tuple[bytes, ...]) -> None:
    async with World().running(Backend()) as world:
        answer = await world.ask(asking(*lines))

    assert answer.status == 200
    assert b"pgrade" not in world.backends[0].seen[0]


async def test_of_several_protocols_those_that_can_be_relayed_are_asked_for() -> None:
    async with World().running(Backend([YES])) as world:
        caller = await world.connect()
        await caller.send(asking(b"Connection: Upgrade", b"Upgrade: h2c, websocket , foo/2", KEY, VERSION))
        answer = await caller.answer()
        await caller.stream.aclose()

    assert answer.status == 101
    assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket, foo/2\r\n" in world.backends[0].seen[0]


async def test_http_1_0_and_streaming_bodies_switch_nothing() -> None:
    upload = asking(b"Connection: Upgrade", b"Upgrade: tcp", b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.1")
    async with World().running(Backend()) as world:
        old = await world.ask(asking(b"Connection: Upgrade", b"Upgrade: tcp", first=b"GET / HTTP/1.0"))
        streaming = await world.ask(upload + b"0\r\n\r\n")

    assert (old.status, streaming.status) == (200, 200)
    assert all(b"pgrade" not in seen for seen in world.backends[0].seen)


async def test_a_request_with_its_body_at_hand_may_switch() -> None:
    post = asking(b"Connection: Upgrade", b"Upgrade: tcp", b"Content-Length: 2", first=b"POST / HTTP/1.1") + b"{}"
    async with World().running(Backend([echo])) as world:
        caller = await world.connect()
        await caller.send(post)
        answer = await caller.answer()
        await caller.stream.aclose()

    assert answer.status == 101
    assert world.backends[0].seen[0].endswith(b"Content-Length: 2\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n{}")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(asking(b"Connection: Upgrade", b"Upgrade: websocket", VERSION), id="no key"),
        pytest.param(asking(b"Connection: Upgrade", b"Upgrade: websocket", VERSION, KEY[:-4]), id="short key"),
        pytest.param(asking(b"Connection: Upgrade", b"Upgrade: WebSocket", VERSION, KEY, KEY), id="two keys"),
        pytest.param(asking(b"Connection: Upgrade", b"Upgrade: websocket", KEY), id="no version"),
        pytest.param(WEBSOCKET.replace(b"GET", b"POST"), id="POST"),
    ],
)
async def test_a_websocket_handshake_that_is_none_reaches_nobody(sent: bytes) -> None:
    async with World().running(Backend()) as world:
        answer = await world.ask(sent)

    assert (answer.status, world.backends[0].seen) == (400, [])
    assert b"WebSocket" in answer.body


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        pytest.param(WEBSOCKET, YES.replace(b"websocket", b"tcp"), id="another protocol"),
        pytest.param(WEBSOCKET, agreed(b"Connection: Upgrade", ACCEPT), id="no protocol"),
        pytest.param(WEBSOCKET, agreed(b"Upgrade: websocket", ACCEPT), id="no Connection"),
        pytest.param(WEBSOCKET, agreed(b"Upgrade: websocket", b"Connection: Upgrade"), id="no accept"),
        pytest.param(WEBSOCKET, YES.replace(b"s3pP", b"AAAA"), id="the accept of another key"),
        pytest.param(asking(), YES, id="nothing was asked for"),
        pytest.param(asking(b"Connection: Upgrade", b"Upgrade: h2c"), YES.replace(b"websocket", b"h2c"), id="h2c"),
    ],
)
async def test_an_agreement_to_something_else_is_a_fault_of_the_backend(sent: bytes, reply: bytes) -> None:
    async with World().running(Backend([reply])) as world:
        answer = await world.ask(sent)
        (client,) = world.router.bindings.clients.values()

        assert (answer.status, client.connections, client.stats.failure) == (502, 0, 1)
        assert 'error=http_protocol_error; details="dial 127.0.0.1:' in (answer.get("proxy-status") or "")


async def test_words_of_the_other_protocol_before_it_was_agreed_on_open_no_tunnel() -> None:
    async with World().running(Backend([echo])) as world:
        caller = await world.connect()
        await caller.send(WEBSOCKET + b"\x81\x85early")
        answer = await caller.answer()
        rest = await caller.rest()
        await caller.stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.01)
        (client,) = world.router.bindings.clients.values()

        assert (answer.status, answer.get("connection"), rest) == (400, "close", b"")
        assert client.connections == 0


async def test_a_switched_connection_ends_with_either_side_and_when_nothing_moves() -> None:
    async def leave(stream: trio.SocketStream, request: bytes) -> None:
        await stream.send_all(YES)

    async with World(limits=ServerLimits(tunnel_idle=0.2)).running(Backend([leave, echo, echo])) as world:
        ends = []
        for _ in range(2):
            caller = await world.connect()
            await caller.send(WEBSOCKET)
            assert (await caller.answer()).status == 101
            ends.append(await caller.rest())
            await caller.stream.aclose()

        caller = await world.connect()
        await caller.send(WEBSOCKET)
        assert (await caller.answer()).status == 101
        await caller.stream.aclose()
        with trio.fail_after(5):
            while world.server.stats.connections:
                await trio.sleep(0.01)

    assert ends == [b"", b"hello "]


async def test_it_counts_as_under_way_until_its_end_and_is_never_hedged() -> None:
    settings = World(
        dtab="/svc/web => /#/pool",
        admission=AdmissionParams(FixedParams(1), 0, 0.0),
        hedging=HedgeParams(percentile=50, max_extra=1.0, min_delay=0.0),
    )
    async with settings.running(Backend([echo]), Backend([echo])) as world:
        caller = await world.connect()
        await caller.send(WEBSOCKET)
        assert (await caller.answer()).status == 101
        refused = await world.ask(asking())
        await caller.stream.aclose()
        with trio.fail_after(5):
            while world.server.stats.connections:
                await trio.sleep(0.01)
        caller = await world.connect()
        await caller.send(WEBSOCKET)
        again = await caller.answer()
        await caller.stream.aclose()

    assert (refused.status, again.status) == (503, 101)
    assert sum(len(backend.seen) for backend in world.backends) == 2


async def test_a_response_that_ends_with_its_connection_is_a_success() -> None:
    async def until_close(stream: trio.SocketStream, request: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")

    async with World().running(Backend([until_close])) as world:
        answer = await world.ask(asking())
        (client,) = world.router.bindings.clients.values()

        assert answer.body == b"all of it"
        assert (client.stats.success, client.stats.failure, client.connections) == (1, 0, 0)
