"""Callers beside one that takes all it can get. Each address is a caller here."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
import trio
import trio.testing

from nodeagent.proxy.caller import Caller as Identity
from nodeagent.proxy.caller import host_of
from nodeagent.proxy.fairness import Accounts
from nodeagent.proxy.readiness import TURN, readiness
from nodeagent.proxy.server import ServerLimits
from nodeagent.proxy.wire import Wire
from tests.nodeagent.proxy.world import Backend, Caller, Held, World

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
HOG, OTHER = "127.0.0.1", "127.0.0.2"


@dataclass
class Crowd:
    """Connections to a world, which all end with it."""

    world: World
    stack: AsyncExitStack

    async def connect(self, source: str) -> Caller:
        caller = await self.world.connect(source)
        self.stack.push_async_callback(caller.stream.aclose)
        return caller

    async def connected(self, count: int) -> list[Caller]:
        """So many connections of the hog that say nothing, all of them accepted."""
        before = self.world.server.stats.connections
        crowd = [await self.connect(HOG) for _ in range(count)]
        with trio.fail_after(5):
            while self.world.server.stats.connections < before + count:
                await trio.sleep(0.01)
        return crowd


@asynccontextmanager
async def crowded(world: World, *backends: Backend) -> AsyncIterator[Crowd]:
    async with world.running(*backends), AsyncExitStack() as stack:
        yield Crowd(world, stack)


async def asked(caller: Caller) -> int:
    await caller.send(GET)
    return (await caller.answer()).status


# Connections.


async def test_who_is_alone_has_all_connections_and_then_a_clear_no() -> None:
    async with crowded(World(limits=ServerLimits(connections=20)), Backend()) as crowd:
        hogs = await crowd.connected(20)
        one_more = await crowd.connect(HOG)
        refused = await one_more.answer()
        assert (refused.status, refused.get("retry-after"), refused.get("connection")) == (503, "1", "close")
        assert refused.body == b"20 connections are open, as many as there is room for; 127.0.0.1 has its part\n"
        assert await one_more.rest() == b""
        assert [await asked(each) for each in hogs] == [200] * 20
        assert crowd.world.server.stats.connections_refused == 1
        assert crowd.world.stats.errors("test")["connection_limit_reached"] == 1


async def test_another_caller_gets_in_when_one_has_all_connections() -> None:
    async with crowded(World(limits=ServerLimits(connections=20)), Backend()) as crowd:
        await crowd.connected(20)
        assert await asked(await crowd.connect(OTHER)) == 200


async def test_the_connections_of_all_listeners_are_bounded_together() -> None:
    async with crowded(World(everyone=Accounts(20)), Backend()) as crowd:
        await crowd.connected(20)
        assert (await (await crowd.connect(HOG)).answer()).status == 503
        assert await asked(await crowd.connect(OTHER)) == 200


async def test_at_the_limit_what_idles_longest_makes_room_and_work_goes_on() -> None:
    backend = Held()
    async with crowded(World(limits=ServerLimits(connections=16)), backend) as crowd:
        busy = await crowd.connect(HOG)
        await busy.send(GET)
        other = await crowd.connect(OTHER)
        with trio.fail_after(5):
            while not backend.seen or crowd.world.server.stats.connections < 2:
                await trio.sleep(0.01)
        hogs = [await crowd.connect(HOG) for _ in range(14)]
        await hogs[0].send(GET[:9])

        assert (await hogs[0].answer()).status == 408, "a head that has begun is told why"
        assert await hogs[1].rest() == b""
        backend.let.set()
        assert (await busy.answer()).status == 200
        assert await asked(other) == 200
        assert 2 <= crowd.world.server.stats.connections_evicted <= 3, "an eighth of 16, and one that is told why"
        assert await asked(await crowd.connect(HOG)) == 200, "there is room again"


@pytest.mark.parametrize(
    ("peer", "caller"),
    [
        ("10.1.2.3:4567", "10.1.2.3"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("unix", "unix"),
        ("unix:/run/a:1", "unix:/run/a:1"),
    ],
)
def test_behind_a_load_balancer_the_address_of_the_proxy_header_is_the_caller(peer: str, caller: str) -> None:
    assert host_of(peer) == caller


# Requests.


async def test_another_caller_is_answered_when_one_has_all_places_for_requests() -> None:
    backend = Held()
    async with crowded(World(limits=ServerLimits(concurrent=8)), backend) as crowd:
        hogs = [await crowd.connect(HOG) for _ in range(9)]
        for each in hogs:
            await each.send(GET)
        with trio.fail_after(5):
            while len(backend.seen) < 8:
                await trio.sleep(0.01)
        with trio.fail_after(5):
            while not crowd.world.stats.errors("test")["connection_limit_reached"]:
                await trio.sleep(0.01)
        other = await crowd.connect(OTHER)
        await other.send(GET)
        with trio.fail_after(5):
            while len(backend.seen) < 9:
                await trio.sleep(0.01)
        backend.let.set()
        assert (await other.answer()).status == 200
        assert sorted([(await each.answer()).status for each in hogs]) == [200] * 8 + [503]
    assert crowd.world.server.in_flight == 0


# Turns.


async def test_what_one_caller_has_ready_does_not_hold_up_another() -> None:
    """Of a hundred that became ready before it, a turn's worth is told first, and all are in the end."""
    told: list[str] = []

    async def read(wire: Wire, name: str) -> None:
        await wire.receive()
        told.append(name)
        wire.close()

    peers: list[socket.socket] = []
    async with trio.open_nursery() as nursery:
        for name in ("hog",) * 100 + ("other",):
            sock, peer = socket.socketpair()
            peers.append(peer)
            wire = Wire(sock)
            readiness().line_up(wire, Identity(None, name))
            nursery.start_soon(read, wire, name)
        await trio.testing.wait_all_tasks_blocked(0.01)
        for peer in peers:
            peer.send(b"x")

    assert len(told) == 101
    assert told.index("other") <= TURN
    for peer in peers:
        peer.close()


async def test_one_caller_alone_waits_for_no_turn() -> None:
    told: list[int] = []

    async def read(wire: Wire) -> None:
        await wire.receive()
        told.append(trio.lowlevel.current_statistics().tasks_runnable)
        wire.close()

    pairs = [socket.socketpair() for _ in range(3 * TURN)]
    async with trio.open_nursery() as nursery:
        for sock, _ in pairs:
            wire = Wire(sock)
            readiness().line_up(wire, Identity(None, "alone"))
            nursery.start_soon(read, wire)
        await trio.testing.wait_all_tasks_blocked(0.01)
        for _, peer in pairs:
            peer.send(b"x")

    assert len(told) == 3 * TURN
    for _, peer in pairs:
        peer.close()


@pytest.mark.parametrize("linger", [False, True], ids=["closed", "reset"])
async def test_who_goes_while_it_waits_for_its_turn_holds_up_nobody(linger: bool) -> None:
    async with crowded(World(), Backend()) as crowd:
        other = await crowd.connect(OTHER)
        hogs = await crowd.connected(3 * TURN)
        for each in hogs:
            await each.send(GET)
            if linger:
                each.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.stream.socket.close()
        assert await asked(other) == 200
        with trio.fail_after(5):
            while crowd.world.server.stats.connections > 1:
                await trio.sleep(0.01)
