"""What endpoints are not blamed for, over real sockets."""

from __future__ import annotations

import trio

from balancer.accrual import Health, Reason
from balancer.backoff import ConstantBackoff
from balancer.params import AccrualParams, BalancerParams
from nodeagent.proxy.balance import Client, ClientPolicy
from nodeagent.proxy.pool import PoolLimits
from tests.nodeagent.proxy.world import OK, Backend, World

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
BROKEN = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
IN_TURN = BalancerParams("roundRobin")


async def test_callers_that_break_off_their_uploads_eject_nobody() -> None:
    async with World(dtab="/svc/web => /#/pool", client=ClientPolicy(balancer=IN_TURN)).running(
        Backend(), Backend(), Backend()
    ) as world:
        await world.ask(GET)
        async with trio.open_nursery() as nursery:
            for _ in range(16):
                nursery.start_soon(_break_off, world)
            await trio.sleep(0.05)
            for _ in range(8):
                await world.ask(GET)
        await trio.testing.wait_all_tasks_blocked(0.01)

        assert {node.accrual.health for node in _client(world).balancer.nodes} == {Health.ALIVE}


async def _break_off(world: World) -> None:
    caller = await world.connect()
    await caller.send(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 1000\r\n\r\nabc")
    await trio.sleep(0.7)
    await caller.stream.aclose()


async def test_waiting_in_the_queue_of_a_full_endpoint_ejects_nobody() -> None:
    async def serve(stream: trio.SocketStream, request: bytes) -> bool:
        await trio.sleep(1.2 if b"/slow" in request else 0.02)
        await stream.send_all(OK)
        return True

    policy = ClientPolicy(pool=PoolLimits(max_size=1, max_wait=0.6), balancer=IN_TURN)
    async with World(dtab="/svc/web => /#/pool", client=policy).running(Backend([serve]), Backend([serve])) as world:
        for _ in range(4):
            await world.ask(GET)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.ask, GET.replace(b"/ ", b"/slow "))
            await trio.sleep(0.01)
            for _ in range(12):
                nursery.start_soon(world.ask, GET)
            for _ in range(6):
                await trio.sleep(0.06)
                nursery.start_soon(world.ask, GET)

        assert {node.accrual.health for node in _client(world).balancer.nodes} == {Health.ALIVE}


async def test_failing_fast_tries_nothing_and_pays_nothing() -> None:
    policy = ClientPolicy(
        accrual=AccrualParams(failures=1, backoff=ConstantBackoff(60.0)), balancer=BalancerParams(all_dead="failFast")
    )
    async with World(dtab="/svc/web => /#/pool", client=policy).running(Backend([BROKEN])) as world:
        await world.ask(GET)
        answer = await world.ask(GET)
        client = _client(world)

        assert (answer.status, client.stats.requeues) == (503, 0)
        assert b"tried" not in answer.body
        assert b"whenAllDead is failFast; 127.0.0.1:" in answer.body
        assert b": failures, answered 500" in answer.body


async def test_one_that_failed_and_then_went_away_is_asked_once_and_no_more() -> None:
    policy = ClientPolicy(
        accrual=AccrualParams(failures=1, backoff=ConstantBackoff(60.0)),
        balancer=BalancerParams("roundRobin", max_ejected=0.5),
    )
    one, two = Backend([BROKEN]), Backend([BROKEN])
    async with World(dtab="/svc/web => /#/pool", client=policy).running(one, two) as world:
        for _ in range(4):
            await world.ask(GET)
        one.kill()
        answers = [await world.ask(GET) for _ in range(6)]
        client = _client(world)

        assert [answer.status for answer in answers] == [500] * 6, "the other one takes connections"
        assert client.stats.requeues <= 1
        assert {node.accrual.reason for node in client.balancer.nodes} == {Reason.REFUSED, Reason.FAILURES}


def _client(world: World) -> Client:
    (client,) = world.router.bindings.clients.values()
    return client
