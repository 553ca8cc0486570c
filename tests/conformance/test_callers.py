"""Hostile callers over time: pipelines, drips, crowds."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection

import pytest
import trio

from nodeagent.proxy.server import ServerLimits
from tests.conformance.rules import CHUNKED, HOST, get, message, post
from tests.nodeagent.proxy.world import Backend, World

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"


async def settled(world: World) -> None:
    """Wait until no connection of a caller and no request is left."""
    with trio.fail_after(5):
        while world.server.conversations or world.server.in_flight:
            await trio.sleep(0.01)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World().running(Backend()) as running:
        yield running


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "status"),
    [
        pytest.param(get(b"Host: nobody"), 502, id="no such name"),
        pytest.param(get(HOST, b"l5d-dtab: /a=>"), 400, id="a bad dtab"),
        pytest.param(post(b"Content-Length: 5", b"l5d-dtab: /a=>"), 400, id="a bad dtab and a body"),
        pytest.param(message(b"HEAD / HTTP/1.1", b"Host: nobody"), 502, id="HEAD"),
        pytest.param(
            message(b"POST / HTTP/1.1", b"Host: nobody", b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED), 502,
            id="a body that looks like a request",
        ),
    ],
)  # fmt: skip
async def test_an_error_with_sound_framing_keeps_the_connection_in_step(
    world: World, first: bytes, status: int
) -> None:
    caller = await world.connect()
    await caller.send(first + GET)
    answers = [await caller.answer(first[:4].decode()), await caller.answer()]
    await caller.stream.aclose()

    assert [answer.status for answer in answers] == [status, 200]
    assert [seen[:16] for seen in world.backends[0].seen] == [b"GET / HTTP/1.1\r\n"]


async def test_pipelined_bodies_stay_apart(world: World) -> None:
    one = post(b"Content-Length: 5", body=b"first")
    two = post(CHUNKED, body=b"3;x=y\r\nsec\r\n3\r\nond\r\n0\r\n\r\n")
    caller = await world.connect()
    await caller.send((one + two + GET) * 3)
    statuses = [(await caller.answer()).status for _ in range(9)]
    await caller.stream.aclose()

    assert statuses == [200] * 9
    bodies = [seen.partition(b"\r\n\r\n")[2] for seen in world.backends[0].seen]
    assert [body[:5] for body in bodies[::3]] == [b"first"] * 3
    assert bodies[2::3] == [b""] * 3
    assert all(b"".join(body.split(b"\r\n")[1::2]) == b"second" for body in bodies[1::3])


# Many callers.


async def test_a_byte_at_a_time_does_not_hold_a_connection() -> None:
    async with World(limits=ServerLimits(head_time=0.4)).running(Backend()) as world:
        caller = await world.connect()
        for byte in b"GET /and":
            await caller.send(bytes([byte]))
            await trio.sleep(0.03)
        assert (await caller.answer()).status == 408
        await caller.stream.aclose()
        await settled(world)


async def test_a_thousand_connections_come_and_go() -> None:
    async def one(world: World, number: int) -> None:
        caller = await world.connect()
        if number % 3:
            await caller.send(GET if number % 2 else GET[:9])
        if number % 5:
            linger = struct.pack("ii", 1, 0)
            caller.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            caller.stream.socket.close()
        else:
            await caller.stream.aclose()

    async with World().running(Backend()) as world:
        for start in range(0, 1000, 100):
            async with trio.open_nursery() as nursery:
                for number in range(start, start + 100):
                    nursery.start_soon(one, world, number)
        await settled(world)
        assert world.server.stats.connections == 0
        assert (await world.ask(GET)).status == 200


AGENT = """
import resource, trio
from tests.nodeagent.proxy.world import World
async def main():
    async with World(dtab="/svc/web => /$/io.buoyant.http.status/200").running() as world:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        print(world.port, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


def test_an_agent_without_descriptors_serves_whom_it_has_and_recovers() -> None:
    with subprocess.Popen([sys.executable, "-c", AGENT], stdout=subprocess.PIPE) as agent:
        try:
            assert agent.stdout is not None
            port = int(agent.stdout.readline())
            first = socket.create_connection(("127.0.0.1", port), 5)
            assert _answer(first).startswith(b"HTTP/1.1 200")
            crowd = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(60)]
            assert _answer(first).startswith(b"HTTP/1.1 200")
            for sock in crowd:
                sock.close()
            with socket.create_connection(("127.0.0.1", port), 5) as late:
                assert _answer(late).startswith(b"HTTP/1.1 200")
            first.close()
        finally:
            agent.kill()


FEW = """
import resource, trio
from tests.nodeagent.running import running
ROUTER = "- {protocol: http, label: out, dtab: /svc/web => /$/io.buoyant.http.status/200, servers: [{port: 0}]}"
async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    async with running(ROUTER) as agent:
        print(agent.port("router out"), agent.port("admin"), flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


def test_silent_connections_beyond_all_descriptors_leave_the_admin_port_and_room_for_others() -> None:
    with subprocess.Popen([sys.executable, "-c", FEW], stdout=subprocess.PIPE) as agent, ExitStack() as crowd:
        try:
            assert agent.stdout is not None
            port, admin = (int(each) for each in agent.stdout.readline().split())
            for _ in range(400):
                crowd.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            metrics = _page(admin, "/metrics")
            late = [_asked(port) for _ in range(30)]
            room = _page(admin, "/metrics")
        finally:
            agent.kill()

    where = f'{{router="out",server="127.0.0.1:{port}"}}'
    assert f"nodeagent_server_connections_limit{where} 113" in metrics
    assert f"nodeagent_server_connections_refused_total{where} 0" not in metrics
    assert f"nodeagent_server_connections_evicted_total{where} 0" not in room
    assert late[-1].startswith(b"HTTP/1.1 200")


def _asked(port: int) -> bytes:
    """Ask anew, on a connection of its own, until there is room, as a program does that is told Retry-After."""
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", port), 5) as sock, suppress(ConnectionError):
            answer = _answer(sock)
            if not answer.startswith(b"HTTP/1.1 503"):
                return answer
        time.sleep(0.05)
    return b""


def _page(port: int, target: str) -> str:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", target)
        return connection.getresponse().read().decode()


def _answer(sock: socket.socket) -> bytes:
    sock.sendall(GET)
    return sock.recv(65536)
