"""A backend that asks to be left alone: what it says, and what becomes of it."""

from __future__ import annotations

import pytest
import trio

from balancer.backoff import ConstantBackoff
from balancer.params import AccrualParams, BalancerParams
from balancer.response_class import ResponseClass
from nodeagent.proxy.balance import ClientPolicy
from nodeagent.proxy.messages import Response
from nodeagent.proxy.pushback import lesson, retry_after
from tests.nodeagent.proxy.world import OK, Backend, World

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
BUSY = b"HTTP/1.1 %d Busy\r\nRetry-After: %b\r\nContent-Length: 0\r\n\r\n"
BROKEN = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
NOON = 1_794_000_000_000_000_000
"""Wall clock: Fri, 06 Nov 2026 21:20:00 GMT."""


@pytest.mark.parametrize(
    ("status", "fields", "seconds"),
    [
        pytest.param(429, b"Retry-After: 2\r\n", 2.0, id="seconds"),
        pytest.param(503, b"X: y\r\nretry-after:  120 \r\nZ: w\r\n", 120.0, id="anywhere, in any case"),
        pytest.param(503, b"Retry-After: Fri, 06 Nov 2026 21:20:30 GMT\r\n", 30.0, id="a date"),
        pytest.param(503, b"Retry-After: Fri, 06 Nov 2020 21:20:30 GMT\r\n", 0.0, id="a date that has passed"),
        pytest.param(429, b"", 0.0, id="nothing"),
        pytest.param(429, b"X-Retry-After: 2\r\n", 0.0, id="another field"),
        pytest.param(429, b"Retry-After: -2\r\n", 0.0, id="a negative number"),
        pytest.param(429, b"Retry-After: \xb2\r\n", 0.0, id="a digit that is none"),
        pytest.param(429, b"Retry-After: soon\r\n", 0.0, id="a word"),
        pytest.param(429, b"Retry-After: Fri, 06 Nov 999999 99:99:99 GMT\r\n", 0.0, id="no date"),
        pytest.param(500, b"Retry-After: 2\r\n", 0.0, id="a status that it does not belong to"),
        pytest.param(301, b"Retry-After: 2\r\n", 0.0, id="a redirect: that is for the caller"),
    ],
)
def test_what_it_asks_for(status: int, fields: bytes, seconds: float) -> None:
    response = Response(status, b"", fields, {}, b"", 0)

    assert retry_after(response, NOON) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("status", "verdict", "learnt"),
    [
        (429, ResponseClass.SUCCESS, ResponseClass.REJECTED),
        (429, ResponseClass.RETRYABLE, ResponseClass.RETRYABLE),
        (503, ResponseClass.FAILURE, ResponseClass.FAILURE),
        (431, ResponseClass.SUCCESS, ResponseClass.SUCCESS),
    ],
)
def test_a_429_is_no_sign_of_health(status: int, verdict: ResponseClass, learnt: ResponseClass) -> None:
    assert lesson(Response(status, b"", b"", {}, b"", 0), verdict) is learnt


@pytest.mark.parametrize("status", [429, 503])
async def test_who_asks_for_it_is_left_alone_for_so_long(status: int) -> None:
    busy = Backend([BUSY % (status, b"1"), OK])
    world = World(dtab="/svc/web => /#/pool", client=ClientPolicy(balancer=BalancerParams("roundRobin")))
    async with world.running(busy, Backend()):
        while not busy.seen:
            await world.ask(GET)
        asked = trio.current_time()
        meanwhile = [(await world.ask(GET)).status for _ in range(20)]
        seen, took = len(busy.seen), trio.current_time() - asked
        while len(busy.seen) == 1:
            await world.ask(GET)
        back = trio.current_time() - asked

    assert took > 1.0 or (meanwhile, seen) == ([200] * 20, 1)
    assert back >= 1.0


async def test_the_caller_sees_what_the_backend_said() -> None:
    async with World().running(Backend([BUSY % (429, b"7")])) as world:
        answer = await world.ask(GET)

    assert (answer.status, answer.get("retry-after"), answer.get("l5d-success-class")) == (429, "7", "1.0")


async def test_it_is_not_left_alone_for_longer_than_the_limit() -> None:
    busy = Backend([BUSY % (429, b"100"), OK])
    policy = ClientPolicy(balancer=BalancerParams("roundRobin"), max_retry_after=0.0)
    async with World(dtab="/svc/web => /#/pool", client=policy).running(busy, Backend()) as world:
        for _ in range(10):
            await world.ask(GET)

    assert len(busy.seen) == 5


async def test_the_only_endpoint_goes_on_whatever_it_asks_for() -> None:
    async with World(dtab="/svc/web => /#/pool").running(Backend([BUSY % (503, b"60"), OK])) as world:
        answers = [(await world.ask(GET)).status for _ in range(3)]

    assert answers == [503, 200, 200]


async def test_failing_fast_is_503_at_once_and_says_why() -> None:
    policy = ClientPolicy(
        accrual=AccrualParams(failures=1, backoff=ConstantBackoff(60.0)), balancer=BalancerParams(all_dead="failFast")
    )
    broken = Backend([BROKEN])
    async with World(dtab="/svc/web => /#/pool", client=policy).running(broken) as world:
        statuses = [(await world.ask(GET)).status for _ in range(3)]
        answer = await world.ask(GET)

    assert statuses == [500, 503, 503]
    assert len(broken.seen) == 1
    assert (answer.get("retry-after"), answer.get("l5d-retryable")) == ("1", "true")
    assert b"whenAllDead is failFast" in answer.body
    assert "error=destination_unavailable" in str(answer.get("proxy-status"))
