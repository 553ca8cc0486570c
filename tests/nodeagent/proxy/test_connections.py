"""How many connections a caller of very many endpoints holds, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from balancer.params import BalancerParams
from namer.addr import Addr, AddrBound, Endpoint
from namer.cell import Cell
from namer.namer import Bound, NameState
from namer.nametree import Leaf
from namer.path import Path
from nodeagent.proxy.balance import Client, ClientPolicy
from nodeagent.proxy.pool import PoolLimits
from tests.nodeagent.proxy.world import OK, POOL, Backend, World

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
ENDPOINTS = 500
IDLE = 0.2
"""Seconds after which an unused connection is closed here."""


class ManyAddresses(World):
    """Every address of 127.0/16 is this host: one listener on all of them is as many endpoints as are wanted."""

    def _pool(self) -> NameState:
        (backend,) = self.backends
        found = [Endpoint(f"127.0.{number // 250}.{number % 250 + 1}", backend.port) for number in range(ENDPOINTS)]
        addr: Addr = AddrBound(tuple(found))
        return Leaf(Bound(POOL, Path(()), Cell.constant(addr)))


async def slow(stream: trio.SocketStream, request: bytes) -> bool:
    """Answer after 20 ms."""
    await trio.sleep(0.02)
    await stream.send_all(OK)
    return True


@asynccontextmanager
async def world() -> AsyncIterator[ManyAddresses]:
    aperture = BalancerParams("aperture", smooth_window=0.1)
    made = ManyAddresses(
        dtab="/svc/web => /#/pool", client=ClientPolicy(balancer=aperture, pool=PoolLimits(idle_time=IDLE))
    )
    async with made.running(Backend([slow], address="0.0.0.0")):
        yield made


def client(world: World) -> Client:
    (found,) = world.router.bindings.clients.values()
    return found


async def test_few_requests_to_five_hundred_endpoints_take_few_connections() -> None:
    async with world() as it:
        for _ in range(50):
            assert (await it.ask(GET)).status == 200
        assert client(it).connections <= 2


async def test_after_a_busy_time_the_connections_that_are_not_needed_go() -> None:
    async with world() as it:
        for _ in range(5):
            await it.ask_at_once(60, GET)
        busy = client(it).connections
        with trio.fail_after(20):
            while client(it).connections > 2:
                assert (await it.ask(GET)).status == 200
                await it.router.bindings.sweep(trio.current_time())

    assert busy > 20
