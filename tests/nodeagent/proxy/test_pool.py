"""The pool: who gets which connection, and that none is ever without an owner."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from nodeagent.http1.upstream import Http1Connection
from nodeagent.proxy.errors import ConnectFailed, Overloaded
from nodeagent.proxy.pool import Pool, PoolLimits
from nodeagent.proxy.wire import Wire


class Backend:
    """Makes connections over socket pairs and keeps the far ends."""

    def __init__(self) -> None:
        self.far: list[socket.socket] = []
        self.near: list[Http1Connection] = []
        self.gate: trio.Event | None = None
        self.refuse = False

    async def dial(self) -> Http1Connection:
        if self.gate is not None:
            await self.gate.wait()
        if self.refuse:
            raise ConnectFailed("refused")
        near, far = socket.socketpair()
        self.far.append(far)
        self.near.append(Http1Connection(Wire(near), "test", 0.0))
        return self.near[-1]

    def close(self) -> None:
        for far in self.far:
            far.close()
        for near in self.near:
            near.close()


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    made = Backend()
    yield made
    made.close()


def nothing() -> None: ...


def served(pool: Pool, connection: Http1Connection, now: float = 0.0) -> None:
    connection.reusable = True
    pool.release(connection, now)


async def test_the_freshest_idle_connection_is_taken(backend: Backend) -> None:
    pool = Pool(PoolLimits(), nothing)
    first, second = await pool.acquire(backend.dial), await pool.acquire(backend.dial)
    served(pool, first)
    served(pool, second)

    assert await pool.acquire(backend.dial) is second
    assert pool.size == 2
    served(pool, second)
    pool.close()


async def test_a_connection_that_the_backend_closed_is_not_taken(backend: Backend) -> None:
    pool = Pool(PoolLimits(), nothing)
    connection = await pool.acquire(backend.dial)
    served(pool, connection)
    backend.far[0].close()

    assert pool.take() is None
    assert (pool.size, connection.wire.closed) == (0, True)


async def test_a_connection_on_which_something_was_said_unasked_is_not_taken(backend: Backend) -> None:
    pool = Pool(PoolLimits(), nothing)
    served(pool, await pool.acquire(backend.dial))
    backend.far[0].send(b"HTTP/1.1 200 OK\r\n\r\n")

    assert pool.take() is None


async def test_a_connection_that_cannot_be_reused_is_closed(backend: Backend) -> None:
    pool = Pool(PoolLimits(), nothing)
    connection = await pool.acquire(backend.dial)
    connection.reusable = False
    pool.release(connection, 0.0)

    assert (pool.size, pool.idle, connection.wire.closed) == (0, [], True)


async def test_a_full_pool_makes_callers_wait_their_turn(backend: Backend) -> None:
    pool = Pool(PoolLimits(max_size=1), nothing)
    connection = await pool.acquire(backend.dial)
    order: list[str] = []

    async def caller(name: str) -> None:
        got = await pool.acquire(backend.dial)
        order.append(name)
        served(pool, got)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(caller, "a")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(caller, "b")
        await trio.testing.wait_all_tasks_blocked()
        served(pool, connection)

    assert (order, pool.size, len(backend.far)) == (["a", "b"], 1, 1)
    pool.close()


async def test_a_queue_has_an_end(backend: Backend) -> None:
    pool = Pool(PoolLimits(max_size=1, max_waiters=0), nothing)
    connection = await pool.acquire(backend.dial)

    with pytest.raises(Overloaded):
        await pool.acquire(backend.dial)
    served(pool, connection)
    pool.close()


async def test_the_place_of_a_broken_connection_passes_to_the_next_in_line(backend: Backend) -> None:
    pool = Pool(PoolLimits(max_size=1), nothing)
    broken = await pool.acquire(backend.dial)

    async with trio.open_nursery() as nursery:

        async def caller() -> None:
            served(pool, await pool.acquire(backend.dial))

        nursery.start_soon(caller)
        await trio.testing.wait_all_tasks_blocked()
        broken.reusable = False
        pool.release(broken, 0.0)

    assert (pool.size, len(pool.idle)) == (1, 1)
    pool.close()


async def test_a_refused_dial_gives_its_place_back(backend: Backend) -> None:
    pool = Pool(PoolLimits(max_size=1), nothing)
    backend.refuse = True

    for _ in range(3):
        with pytest.raises(ConnectFailed):
            await pool.acquire(backend.dial)

    assert pool.size == 0


@pytest.mark.parametrize("moment", ["dialling", "waiting", "served a connection", "served a place"])
async def test_a_cancelled_caller_leaves_nothing_behind(backend: Backend, moment: str) -> None:
    pool = Pool(PoolLimits(max_size=1), nothing)
    held = None if moment == "dialling" else await pool.acquire(backend.dial)
    backend.gate = trio.Event()  # from here on, dialling hangs
    scope = trio.CancelScope()

    async def caller() -> None:
        with scope:
            connection = await pool.acquire(backend.dial)
            try:
                await trio.sleep_forever()
            finally:
                connection.reusable = False
                pool.release(connection, 0.0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(caller)
        await trio.testing.wait_all_tasks_blocked()
        if held is not None and moment.startswith("served"):
            held.reusable = moment == "served a connection"
            pool.release(held, 0.0)
        scope.cancel()

    if held is not None and moment == "waiting":
        served(pool, held)
        assert pool.size == 1
        pool.close()
    assert (pool.size, len(pool.waiters)) == (0, 0)


async def test_idle_connections_grow_old(backend: Backend) -> None:
    pool = Pool(PoolLimits(min_size=1, idle_time=30, life_time=100), nothing)
    connections = [await pool.acquire(backend.dial) for _ in range(3)]
    for at, connection in enumerate(connections):
        served(pool, connection, now=float(at))

    pool.expire(31.5)
    assert pool.idle == connections[2:]
    pool.expire(90)
    assert pool.idle == connections[2:]  # the last one is kept by minSize
    pool.expire(100)
    assert (pool.idle, pool.size) == ([], 0)  # but not beyond its life


async def test_what_comes_back_to_a_closed_pool_is_closed(backend: Backend) -> None:
    pool = Pool(PoolLimits(), nothing)
    connection = await pool.acquire(backend.dial)
    pool.close()
    served(pool, connection)

    assert (pool.size, connection.wire.closed) == (0, True)
