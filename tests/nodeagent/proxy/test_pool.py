"""The pool: who gets which connection, and that none is ever without an owner."""

from __future__ import annotations

import math
import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from nodeagent.http1.upstream import Http1Connection
from nodeagent.proxy.errors import ConnectFailed, EndpointFull, NoEndpoints, Overloaded
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
    first, second = await pool.acquire(backend.dial, 0.0), await pool.acquire(backend.dial, 0.0)
    served(pool, first)
    served(pool, second)

    assert await pool.acquire(backend.dial, 0.0) is second
    assert pool.size == 2
    served(pool, second)
    pool.close()


async def test_a_connection_that_the_backend_closed_is_not_taken(backend: Backend) -> None:
    pool = Pool(PoolLimits(), nothing)
    connection = await pool.acquire(backend.dial, 0.0)
    served(pool, connection)
    backend.far[0].close()

    assert pool.take(0.0) is None
    assert (pool.size, connection.wire.closed) == (0, True)


async def test_a_connection_on_which_something_was_said_unasked_is_not_taken(backend: Backend) -> None:
    pool = Pool(PoolLimits(), nothing)
    served(pool, await pool.acquire(backend.dial, 0.0))
    backend.far[0].send(b"HTTP/1.1 200 OK\r\n\r\n")

    assert pool.take(0.0) is None


async def test_a_connection_that_cannot_be_reused_is_closed(backend: Backend) -> None:
    pool = Pool(PoolLimits(), nothing)
    connection = await pool.acquire(backend.dial, 0.0)
    connection.reusable = False
    pool.release(connection, 0.0)

    assert (pool.size, pool.idle, connection.wire.closed) == (0, [], True)


async def test_a_full_pool_makes_callers_wait_their_turn(backend: Backend) -> None:
    pool = Pool(PoolLimits(max_size=1), nothing)
    connection = await pool.acquire(backend.dial, 0.0)
    order: list[str] = []

    async def caller(name: str) -> None:
        got = await pool.acquire(backend.dial, 0.0)
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
    connection = await pool.acquire(backend.dial, 0.0)

    with pytest.raises(Overloaded):
        await pool.acquire(backend.dial, 0.0)
    served(pool, connection)
    pool.close()


async def test_the_place_of_a_broken_connection_passes_to_the_next_in_line(backend: Backend) -> None:
    pool = Pool(PoolLimits(max_size=1), nothing)
    broken = await pool.acquire(backend.dial, 0.0)

    async with trio.open_nursery() as nursery:

        async def caller() -> None:
            served(pool, await pool.acquire(backend.dial, 0.0))

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
            await pool.acquire(backend.dial, 0.0)

    assert pool.size == 0


@pytest.mark.parametrize("moment", ["dialling", "waiting", "served a connection", "served a place"])
@pytest.mark.parametrize("first", ["served", "cancelled"])
async def test_a_cancelled_caller_leaves_nothing_behind(backend: Backend, moment: str, first: str) -> None:
    pool = Pool(PoolLimits(max_size=1), nothing)
    held = None if moment == "dialling" else await pool.acquire(backend.dial, 0.0)
    backend.gate = trio.Event()  # from here on, dialling hangs
    scope = trio.CancelScope()

    async def caller() -> None:
        with scope:
            connection = await pool.acquire(backend.dial, 0.0)
            try:
                await trio.sleep_forever()
            finally:
                connection.reusable = False
                pool.release(connection, 0.0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(caller)
        await trio.testing.wait_all_tasks_blocked()
        if first == "cancelled":  # and it hears of that only after it was served
            scope.cancel()
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
    connections = [await pool.acquire(backend.dial, 0.0) for _ in range(3)]
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
    connection = await pool.acquire(backend.dial, 0.0)
    pool.close()
    served(pool, connection)

    assert (pool.size, connection.wire.closed) == (0, True)


async def test_a_connection_is_not_used_beyond_what_its_backend_announced(backend: Backend) -> None:
    pool = Pool(PoolLimits(min_size=1), nothing)
    connection = await pool.acquire(backend.dial, 0.0)
    connection.idle_limit = 4.0
    served(pool, connection, now=10.0)

    assert pool.take(13.9) is connection
    served(pool, connection, now=20.0)
    assert pool.take(24.0) is None
    assert (pool.size, connection.wire.closed) == (0, True)


async def test_one_that_is_too_old_to_be_used_is_closed_though_idleness_would_not(backend: Backend) -> None:
    pool = Pool(PoolLimits(min_size=1), nothing)
    connection = await pool.acquire(backend.dial, 0.0)
    connection.idle_limit = 4.0
    served(pool, connection, now=10.0)

    pool.expire(13.0)
    assert pool.idle == [connection]
    pool.expire(14.0)
    assert (pool.idle, pool.size) == ([], 0)


async def test_a_backend_that_hangs_up_on_an_idle_connection_teaches_for_how_long_they_last(backend: Backend) -> None:
    pool = Pool(PoolLimits(), nothing)
    connections = [await pool.acquire(backend.dial, 0.0) for _ in range(3)]
    now = trio.current_time()
    for connection, age in zip(connections, (10.0, 9.0, 1.0), strict=True):
        served(pool, connection, now=now - age)
    backend.far[0].close()
    await trio.testing.wait_all_tasks_blocked(0.01)

    assert pool.idle == connections[1:], "what has ended is gone at once"
    assert pool.take(now) is connections[2]
    assert pool.take(now) is None, "nine seconds are more than four fifths of ten"
    served(pool, connections[2], now)
    assert pool.take(now + 7.9) is connections[2]
    served(pool, connections[2], now)
    assert pool.take(now + 8.1) is None


async def test_a_busy_connection_that_ends_teaches_nothing(backend: Backend) -> None:
    pool = Pool(PoolLimits(), nothing)
    first, second = [await pool.acquire(backend.dial, 0.0) for _ in range(2)]
    served(pool, second, now=trio.current_time())
    backend.far[0].close()
    await trio.testing.wait_all_tasks_blocked(0.01)

    assert (pool.idle, pool.size, first.wire.closed) == ([second], 2, False)
    assert second.use_before == math.inf


@pytest.mark.parametrize("most", [2, 100])
async def test_who_wants_a_new_connection_gets_one_in_place_of_an_idle_one(backend: Backend, most: int) -> None:
    pool = Pool(PoolLimits(max_size=most), nothing)
    old = [await pool.acquire(backend.dial, 0.0) for _ in range(2)]
    for connection in old:
        served(pool, connection)
    new = await pool.acquire(backend.dial, 0.0, fresh=True)

    assert new not in old
    assert (pool.idle, pool.size, old[0].wire.closed) == ([old[1]], 2, True)


async def test_a_backend_that_hangs_up_early_again_and_again_is_erratic_for_a_while(
    backend: Backend, autojump_clock: trio.testing.MockClock
) -> None:
    pool = Pool(PoolLimits(), nothing)
    verdicts = []
    for _ in range(3):
        served(pool, await pool.acquire(backend.dial, 0.0), now=trio.current_time())
        backend.far[-1].close()
        await trio.sleep(1.5)
        verdicts.append(pool.erratic)

    assert verdicts == [False, False, True]
    pool.expire(trio.current_time() + 590)
    assert pool.erratic
    pool.expire(trio.current_time() + 600)
    assert not pool.erratic


async def test_a_wait_has_an_end(backend: Backend, autojump_clock: trio.testing.MockClock) -> None:
    pool = Pool(PoolLimits(max_size=1, max_wait=2.0), nothing)
    connection = await pool.acquire(backend.dial, 0.0)

    with pytest.raises(EndpointFull, match=r"maxSize: 1\), and stayed so for 2000 ms") as caught:
        await pool.acquire(backend.dial, 0.0)

    assert (trio.current_time(), caught.value.waited, pool.waiters, pool.size) == (2.0, True, [], 1)
    served(pool, connection)
    pool.close()


async def test_a_full_queue_refuses_at_once(backend: Backend, autojump_clock: trio.testing.MockClock) -> None:
    pool = Pool(PoolLimits(max_size=2, max_waiters=3, max_wait=1.0), nothing)
    for _ in range(2):
        await pool.acquire(backend.dial, 0.0)
    ends: list[tuple[float, bool]] = []

    async def caller() -> None:
        with pytest.raises(EndpointFull) as caught:
            await pool.acquire(backend.dial, 0.0)
        ends.append((trio.current_time(), caught.value.waited))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(caller)

    assert ends == [(0.0, False), (0.0, False), (1.0, True), (1.0, True), (1.0, True)]


@pytest.mark.parametrize("served_with", ["a connection", "a place"])
async def test_who_is_served_as_its_time_ends_keeps_what_it_got(
    backend: Backend, autojump_clock: trio.testing.MockClock, served_with: str
) -> None:
    pool = Pool(PoolLimits(max_size=1, max_wait=1.0), nothing)
    held = await pool.acquire(backend.dial, 0.0)

    async def caller() -> None:
        served(pool, await pool.acquire(backend.dial, 0.0))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(caller)
        await trio.sleep(1.0 - 1e-9)
        held.reusable = served_with == "a connection"
        pool.release(held, 0.0)

    assert (pool.size, len(pool.idle)) == (1, 1)
    pool.close()


async def test_what_is_idle_can_be_closed_at_once(backend: Backend) -> None:
    pool = Pool(PoolLimits(min_size=2), nothing)
    first, busy = await pool.acquire(backend.dial, 0.0), await pool.acquire(backend.dial, 0.0)
    served(pool, first)
    pool.clear()

    assert (pool.size, first.wire.closed, busy.wire.closed) == (1, True, False)
    served(pool, busy)
    assert pool.take(0.0) is busy
    pool.close()


async def test_what_was_opened_before_it_was_renewed_is_used_no_more(backend: Backend) -> None:
    pool = Pool(PoolLimits(), nothing)
    idle, busy = await pool.acquire(backend.dial, 0.0), await pool.acquire(backend.dial, 0.0)
    served(pool, idle)
    pool.renew_at = 2.0
    pool.expire(1.0)
    assert pool.idle == [idle]
    pool.expire(2.0)
    assert (pool.size, pool.renew_at) == (1, math.inf)

    served(pool, busy, 3.0)
    assert pool.size == 0
    fresh = await pool.acquire(backend.dial, 3.0)
    fresh.opened_at = 3.0
    served(pool, fresh, 4.0)
    assert pool.idle == [fresh]
    pool.close()


async def test_nobody_waits_for_an_endpoint_that_has_left(backend: Backend) -> None:
    pool = Pool(PoolLimits(max_size=1), nothing)
    held = await pool.acquire(backend.dial, 0.0)

    async def caller() -> None:
        with pytest.raises(NoEndpoints, match="left discovery while the request waited"):
            await pool.acquire(backend.dial, 0.0)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller)
            await trio.testing.wait_all_tasks_blocked()
            pool.close()

    served(pool, held)
    assert (pool.size, pool.waiters) == (0, [])


async def test_nobody_waits_to_find_out_that_an_endpoint_cannot_be_connected_to(backend: Backend) -> None:
    """One dial fails for all who wait: behind a host that is gone, each would have to wait for a timeout of its own."""
    pool = Pool(PoolLimits(max_size=1), nothing)
    backend.gate, backend.refuse = trio.Event(), True
    errors: list[str] = []

    async def caller() -> None:
        with pytest.raises(ConnectFailed) as caught:
            await pool.acquire(backend.dial, 0.0)
        errors.append(caught.value.message)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(caller)
            await trio.testing.wait_all_tasks_blocked()
        backend.gate.set()

    assert (errors, pool.size, pool.waiters) == (["refused"] * 3, 0, [])


@pytest.mark.parametrize(
    ("limits", "busy", "waiting", "room", "place"),
    [
        pytest.param(PoolLimits(), 9, 0, True, True, id="no limit"),
        pytest.param(PoolLimits(max_size=2, max_waiters=1), 1, 0, True, True, id="below the limit"),
        pytest.param(PoolLimits(max_size=2, max_waiters=1), 2, 0, False, True, id="full, and a queue"),
        pytest.param(PoolLimits(max_size=2, max_waiters=1), 2, 1, False, False, id="full, and the queue too"),
    ],
)
async def test_room_and_places(
    backend: Backend, limits: PoolLimits, busy: int, waiting: int, room: bool, place: bool
) -> None:
    pool = Pool(limits, nothing)
    for _ in range(busy):
        await pool.acquire(backend.dial, 0.0)

    async with trio.open_nursery() as nursery:
        for _ in range(waiting):
            nursery.start_soon(pool.acquire, backend.dial, 0.0)
        await trio.testing.wait_all_tasks_blocked()
        assert (pool.has_room, pool.has_place) == (room, place)
        nursery.cancel_scope.cancel()
