"""What is told of a request when it is over."""

from __future__ import annotations

import math

import trio

from balancer.accrual import Health
from balancer.response_class import ResponseClass
from nodeagent.telemetry.exchange import Exchange
from tests.nodeagent.proxy.world import OK, Backend, World


async def told(world: World, count: int = 1) -> list[Exchange]:
    """The exchanges that were told of, once there are `count`."""
    with trio.fail_after(5):
        while len(world.told) < count:
            await trio.sleep(0.001)
    return world.told


async def test_a_request_that_is_answered() -> None:
    async with World().running(Backend([OK])) as world:
        await world.ask(b"GET /a?b HTTP/1.1\r\nHost: web\r\n\r\n")
        [exchange] = await told(world)
    assert (exchange.method, exchange.authority, exchange.path) == (b"GET", b"web", b"/a?b")
    assert (exchange.name, exchange.status, exchange.verdict) == ("/svc/web", 200, ResponseClass.SUCCESS)
    assert (exchange.received, exchange.sent, exchange.whole, exchange.plain) == (0, 2, True, True)
    assert (exchange.error, exchange.message, exchange.deadline) == (None, None, math.inf)
    [attempt] = exchange.attempts
    assert attempt.endpoint.port == world.backends[0].port
    assert (attempt.health, attempt.pending, attempt.endpoints) == (Health.ALIVE, 0, 1)
    assert (attempt.status, attempt.error) == (200, None)
    assert attempt.connected is not None
    times = [exchange.received_at, attempt.started, attempt.connected, attempt.ended]
    assert [*times, exchange.answered_at, exchange.ended_at] == sorted(
        [*times, exchange.answered_at, exchange.ended_at]
    )
    assert exchange.derivation is not None
    assert [step.dentry for step in exchange.derivation.steps] != []
    assert [weight for _, weight in exchange.derivation.branches] == [1.0]
