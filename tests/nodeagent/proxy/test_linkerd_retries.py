"""What linkerd 1.x's own tests hold of failures, retries and their counts, held here."""

from __future__ import annotations

import pytest
import trio

from balancer.params import AccrualParams, RetryBudgetParams
from nodeagent.proxy.balance import ClientPolicy
from nodeagent.telemetry.linkerd_metrics import flat
from tests.nodeagent.proxy.world import OK, Backend, World, free_port

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody"
BAD = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
RETRYABLE = b"HTTP/1.1 500 Oops\r\nl5d-retryable: true\r\nContent-Length: 0\r\n\r\n"
CHUNKED_BAD = b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n4\r\noops\r\n0\r\n\r\n"
NEVER_DEAD = ClientPolicy(accrual=AccrualParams("none"))
SERVICE = "rt/test/service/svc/web/"


def client(world: World) -> str:
    return f"rt/test/client/$/inet/127.0.0.1/{world.backends[0].port}/"


@pytest.mark.parametrize("request_", [GET, POST])
async def test_a_closed_backend_is_a_502_that_may_be_retried_and_one_failure_at_server_and_service(
    request_: bytes,
) -> None:
    async with World(dtab=f"/svc/web => /$/inet/127.0.0.1/{free_port()}").running() as world:
        answer = await world.ask(request_)
        counts = flat(world.stats)
        server = f"rt/test/server/127.0.0.1/{world.port}/"

    assert (answer.status, answer.get("l5d-retryable")) == (502, "true")
    assert (counts[server + "failures"], counts[server + "requests"]) == (1, 1)
    assert (counts[SERVICE + "failures"], counts[SERVICE + "requests"]) == (1, 1)


async def test_a_retry_is_one_request_to_the_service_and_two_to_the_client() -> None:
    async with World(classifier="io.l5d.http.retryableRead5XX").running(Backend([BAD, OK])) as world:
        answer = await world.ask(GET)
        counts = flat(world.stats)
        to_client = client(world)

    assert answer.status == 200
    assert (counts[to_client + "requests"], counts[to_client + "failures"]) == (2, 1)
    assert (counts[SERVICE + "requests"], counts[SERVICE + "failures"]) == (1, 0)
    assert (counts[SERVICE + "retries/total"], counts[SERVICE + "retries/per_request.max"]) == (1, 1.0)


async def test_a_post_is_no_read_and_is_not_retried() -> None:
    async with World(classifier="io.l5d.http.retryableRead5XX").running(Backend([BAD, OK])) as world:
        answer = await world.ask(POST)

    assert (answer.status, len(world.backends[0].seen)) == (500, 1)


@pytest.mark.parametrize("classifier", ["nonRetryable5XX", "retryableRead5XX", "retryableIdempotent5XX"])
async def test_a_backend_that_says_retryable_is_believed_whatever_the_classifier(classifier: str) -> None:
    async with World(classifier=f"io.l5d.http.{classifier}").running(Backend([RETRYABLE, OK])) as world:
        answer = await world.ask(POST)

    assert (answer.status, len(world.backends[0].seen)) == (200, 2)


async def test_the_budgets_of_two_services_do_not_drain_each_other() -> None:
    """Two retries each, and one backend for both."""
    world = World(
        dtab="/svc/web => /$/inet/127.0.0.1/{0} ; /svc/api => /$/inet/127.0.0.1/{0}",
        classifier="io.l5d.http.retryableRead5XX",
        budget=RetryBudgetParams(ttl=20, min_per_sec=0, percent_can_retry=2.0),
        client=NEVER_DEAD,
    )
    async with world.running(Backend([BAD])):
        seen = []
        for host in (b"web", b"api", b"web"):
            await world.ask(GET.replace(b"web", host))
            seen.append(len(world.backends[0].seen))

    assert seen == [3, 6, 9]
    assert {stats.budget_exhausted for stats in world.stats.services.series()} == {1, 2}


async def test_the_requeue_budget_of_a_client_is_shown_and_grows_by_its_successes() -> None:
    world = World(client=ClientPolicy(requeues=RetryBudgetParams(10, 0, 0.5)))
    balances = []
    async with world.running(Backend()):
        for _ in range(4):
            await world.ask(GET)
            balances.append(flat(world.stats)[client(world) + "retries/budget"])

    assert balances == [0, 1, 1, 2]


async def test_a_lone_endpoint_that_refuses_is_not_asked_again_and_again() -> None:
    """linkerd makes 25 more attempts at it, and counts them as requeues."""
    async with World().running(Backend()) as world:
        world.backends[0].kill()
        answer = await world.ask(GET)
        requeues = flat(world.stats)[client(world) + "retries/requeues"]

    assert (answer.status, requeues) == (502, 0)


async def test_chunked_errors_that_are_retried_leak_no_connection() -> None:
    world = World(classifier="io.l5d.http.retryableRead5XX", client=NEVER_DEAD)
    async with world.running(Backend([CHUNKED_BAD] * 3 + [OK])):
        for _ in range(5):
            answer = await world.ask(GET)
        await trio.testing.wait_all_tasks_blocked(0.01)
        connections = flat(world.stats)[client(world) + "connections"]

    assert (answer.status, connections <= 1) == (200, True)


async def test_a_caller_that_goes_away_ends_its_request_at_the_backend_within_a_tenth_of_a_second() -> None:
    ended: list[float] = []

    async def waits(stream: trio.SocketStream, request: bytes) -> None:
        await stream.receive_some()
        ended.append(trio.current_time())

    async with World().running(Backend([waits])) as world:
        caller = await world.connect()
        await caller.send(GET)
        await trio.sleep(0.15)  # later than what may be a half-close
        left = trio.current_time()
        await caller.stream.aclose()
        with trio.fail_after(2):
            while not ended:
                await trio.sleep(0.005)

    assert ended[0] - left < 0.1
