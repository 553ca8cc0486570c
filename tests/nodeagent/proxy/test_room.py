"""Where there is room: which endpoint is picked, what a full one does to a request, and that it is no failure."""

from __future__ import annotations

from random import Random

import pytest
import trio

from balancer.balancer import Balancer
from balancer.params import AccrualParams, BalancerParams, make_balancer
from balancer.response_class import ResponseClass
from namer.addr import Endpoint
from nodeagent.proxy.balance import ClientPolicy
from nodeagent.proxy.pool import Pool, PoolLimits
from nodeagent.proxy.room import has_others, has_room, pick_with_room, requests_waiting
from tests.nodeagent.proxy.world import Answer, Backend, Held, World

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
POOL = "/svc/web => /#/pool"


TWO = PoolLimits(max_size=2, max_waiters=0)


def balancer(*busy: int, limits: PoolLimits = TWO) -> Balancer:
    """Endpoints with so many connections each, all busy."""
    made = make_balancer(BalancerParams(), AccrualParams(), Random(3))
    made.update([Endpoint("10.0.0.1", port) for port in range(len(busy))], 0.0)
    for node, size in zip(made.nodes, busy, strict=True):
        node.pool = Pool(limits, lambda: None)
        node.pool.size = size
    return made


def kill(made: Balancer, port: int) -> None:
    made.begin(made.nodes[port], 0.0)
    made.end(made.nodes[port], 0.0, 0.0, ResponseClass.REFUSED)


@pytest.mark.parametrize(
    ("busy", "dead", "avoid", "picked"),
    [
        pytest.param((2, 2, 1, 2), (), (), {2}, id="the only one with room"),
        pytest.param((2, 2, 1, 2), (), (2,), {0, 1, 3}, id="it failed this request: one waits at another"),
        pytest.param((2, 2, 1, 2), (2,), (), {0, 1, 3}, id="it is dead: one waits at another"),
        pytest.param((2, 2), (), (), {0, 1}, id="all are full: one waits"),
        pytest.param((1, 1), (), (), {0, 1}, id="none is full"),
        pytest.param((), (), (), {None}, id="there is none"),
    ],
)
def test_the_pick(
    busy: tuple[int, ...], dead: tuple[int, ...], avoid: tuple[int, ...], picked: set[int | None]
) -> None:
    made = balancer(*busy)
    for port in dead:
        kill(made, port)
    avoided = [made.nodes[port] for port in avoid]

    found = [pick_with_room(made, 0.1, avoided) for _ in range(100)]

    assert {node and node.endpoint.port for node in found} == picked


@pytest.mark.parametrize(
    ("limits", "waited", "room"),
    [
        pytest.param(PoolLimits(max_size=3), True, True, id="one has room"),
        pytest.param(PoolLimits(max_size=2), False, True, id="one has a queue"),
        pytest.param(PoolLimits(max_size=2), True, False, id="one has a queue, but the request has waited enough"),
        pytest.param(PoolLimits(max_size=2, max_waiters=0), False, False, id="none has a place"),
    ],
)
def test_where_a_request_may_go_on(limits: PoolLimits, waited: bool, room: bool) -> None:
    made = balancer(2, 2, 2, limits=limits)
    first, second, _ = made.nodes

    assert has_room(made.nodes, (first,), waited) is room
    assert not has_room(made.nodes, made.nodes, waited)
    kill(made, 2)
    assert not has_room(made.nodes, (first, second), waited)
    assert has_others(made.nodes, (first, second))
    assert requests_waiting(made.nodes) == 0


async def _until(true: object) -> None:
    assert callable(true)
    with trio.fail_after(5):
        while not true():
            await trio.sleep(0.005)


async def test_ten_are_under_way_five_wait_and_the_sixteenth_hears_so_at_once() -> None:
    limits = PoolLimits(max_size=10, max_waiters=5, max_wait=0.3)
    backend = Held()
    answers: list[tuple[float, Answer]] = []
    async with World(client=ClientPolicy(pool=limits)).running(backend) as world:

        async def ask() -> None:
            began = trio.current_time()
            answer = await world.ask(GET)
            answers.append((trio.current_time() - began, answer))

        async with trio.open_nursery() as nursery:
            for _ in range(15):
                nursery.start_soon(ask)
            await _until(lambda: len(backend.seen) == 10 and _waiting(world) == 5)
            nursery.start_soon(ask)
            await _until(lambda: len(answers) == 1)
            assert _waiting(world) == 5
            await _until(lambda: len(answers) == 6)
            backend.let.set()
        (client,) = world.router.bindings.clients.values()
        health = client.balancer.statistics()

    (refused, *rest) = answers
    assert refused[1].status == 503
    assert refused[1].get("retry-after") == "1"
    where = f"127.0.0.1:{backend.port}"
    assert refused[1].get("proxy-status") == (
        f'nodeagent; error=connection_limit_reached; details="balance /$/inet/{where.replace(":", "/")}: {where}:'
        ' all its connections are busy (hostConnectionPool.maxSize: 10), its queue is full (maxWaiters: 5)"'
    )
    waited, served = rest[:5], rest[5:]
    assert {answer.status for _, answer in waited} == {503}
    assert all(0.3 <= seconds < 1.0 for seconds, _ in waited)
    assert b", and stayed so for 300 ms (maxWaitMs)" in waited[0][1].body
    assert ([answer.status for _, answer in served], len(backend.seen)) == ([200] * 10, 10)
    assert client.stats.rejected == {"queue_full": 1, "queue_timeout": 5}
    assert (client.stats.failure, health.alive, health.ejections) == (0, 1, 0)


async def test_a_request_goes_to_the_endpoint_that_has_room() -> None:
    full, free = Held(), Backend()
    policy = ClientPolicy(pool=PoolLimits(max_size=1, max_waiters=0), balancer=BalancerParams("roundRobin"))
    async with World(dtab=POOL, client=policy).running(full, free) as world, trio.open_nursery() as nursery:
        nursery.start_soon(world.ask, GET)
        nursery.start_soon(world.ask, GET)
        await _until(lambda: len(full.seen) == 1)
        answers = [await world.ask(GET) for _ in range(20)]
        full.let.set()

    assert {answer.status for answer in answers} == {200}
    assert len(full.seen) == 1
    (service,) = world.stats.services.series()
    assert service.retries.total() == 0  # it was picked so: nothing had to be repeated


async def test_a_full_queue_sends_a_request_to_the_queue_of_another_endpoint() -> None:
    first, second = Held(), Held()
    policy = ClientPolicy(pool=PoolLimits(max_size=1, max_waiters=2), balancer=BalancerParams("roundRobin"))
    answers: list[Answer] = []
    async with World(dtab=POOL, client=policy).running(first, second) as world, trio.open_nursery() as nursery:

        async def ask() -> None:
            answers.append(await world.ask(GET))

        for _ in range(2):
            nursery.start_soon(ask)
        await _until(lambda: first.seen and second.seen)
        (client,) = world.router.bindings.clients.values()
        pool = client.balancer.nodes[0].pool
        assert isinstance(pool, Pool)
        pool.limits = PoolLimits(max_size=1, max_waiters=0)
        for _ in range(2):
            nursery.start_soon(ask)
        await _until(lambda: _waiting(world) == 2)
        refused = await world.ask(GET)
        first.let.set()
        second.let.set()

    assert ([answer.status for answer in answers], refused.status) == ([200] * 4, 503)
    assert (len(first.seen), len(second.seen)) == (1, 3)
    (service,) = world.stats.services.series()
    assert service.retries == {"connection_limit_reached": 1}
    assert client.requeues.balance(0.0) == 100  # going on was free


async def test_a_queue_that_took_all_the_time_of_an_attempt_is_not_the_endpoints_fault() -> None:
    backend = Held()
    policy = ClientPolicy(pool=PoolLimits(max_size=1), accrual=AccrualParams(failures=1))
    world = World(client=policy)
    async with world.running(backend), trio.open_nursery() as nursery:
        nursery.start_soon(world.ask, GET)  # holds the only connection, without a limit of its own
        await _until(lambda: len(backend.seen) == 1)
        (client,) = world.router.bindings.clients.values()
        client._seconds = 0.05
        refused = await world.ask(GET)
        backend.let.set()

    assert refused.status == 504
    assert (client.stats.failure, client.balancer.statistics().ejections) == (0, 0)


def _waiting(world: World) -> int:
    return sum(requests_waiting(client.balancer.nodes) for client in world.router.bindings.clients.values())
