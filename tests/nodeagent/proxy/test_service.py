"""What a bound name does with a request: branches, retries, budgets, deadlines."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
import trio

from balancer.backoff import ConstantBackoff, DecorrelatedJitter
from balancer.params import AccrualParams, BalancerParams, RetryBudgetParams
from nodeagent.proxy.balance import ClientPolicy
from tests.nodeagent.proxy.world import CLOSE, OK, Backend, World, free_port

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody"
PUT = POST.replace(b"POST", b"PUT")
CHUNKED = b"PUT / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
BAD = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
RETRYABLE = b"HTTP/1.1 500 Oops\r\nl5d-retryable: true\r\nContent-Length: 0\r\n\r\n"
NEVER_DEAD = ClientPolicy(accrual=AccrualParams("none"))
CHUNKED_BAD = b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n4\r\noops\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("classifier", "request_", "first", "status", "attempts"),
    [
        pytest.param("nonRetryable5XX", GET, BAD, 500, 1, id="a 5xx is final by default"),
        pytest.param("retryableRead5XX", GET, BAD, 200, 2, id="a read is tried again"),
        pytest.param("retryableRead5XX", PUT, BAD, 500, 1, id="a write is not a read"),
        pytest.param("retryableIdempotent5XX", PUT, BAD, 200, 2, id="an idempotent write is tried again, body and all"),
        pytest.param("retryableIdempotent5XX", POST, BAD, 500, 1, id="a POST is not idempotent"),
        pytest.param("retryableAll5XX", POST, BAD, 200, 2, id="unless all are"),
        pytest.param("retryableAll5XX", CHUNKED, BAD, 500, 1, id="a chunked body is never repeated"),
        pytest.param("nonRetryable5XX", POST, RETRYABLE, 200, 2, id="the backend says that it may be tried again"),
        pytest.param("allSuccessful", GET, BAD, 500, 1, id="all is success"),
        pytest.param("retryableRead5XX", GET, CHUNKED_BAD, 200, 2, id="a streamed error is thrown away"),
        pytest.param("nonRetryable5XX", GET, CLOSE, 200, 2, id="a lost read is tried again, whatever the classifier"),
        pytest.param("nonRetryable5XX", PUT, CLOSE, 200, 2, id="a lost idempotent write too"),
        pytest.param("retryableAll5XX", POST, CLOSE, 502, 1, id="a lost POST may have been done"),
    ],
)
async def test_what_is_tried_again(classifier: str, request_: bytes, first: bytes, status: int, attempts: int) -> None:
    world = World(classifier=f"io.l5d.http.{classifier}")
    async with world.running(Backend([first, OK])):
        answer = await world.ask(request_)
        await trio.testing.wait_all_tasks_blocked(0.01)
        clients = list(world.router.bindings.clients.values())

        assert (answer.status, len(world.backends[0].seen)) == (status, attempts)
        assert sum(client.connections for client in clients) <= 1  # nothing leaks

    bodies = {seen.partition(b"\r\n\r\n")[2] for seen in world.backends[0].seen}
    assert len(bodies) == 1
    service = next(iter(world.stats.services.series()))
    assert (service.success + service.failure, service.retries.total()) == (1, attempts - 1)


async def test_a_dead_endpoint_costs_no_request_whatever_its_method() -> None:
    dead = Backend()
    async with World(dtab="/svc/web => /#/pool").running(dead, Backend()) as world:
        dead.kill()
        answers = [await world.ask(request) for request in (GET, POST, CHUNKED) * 30]

    assert {answer.status for answer in answers} == {200}
    assert len(world.backends[1].seen) == 90


async def test_a_dead_branch_of_a_union_costs_no_request() -> None:
    world = World(dtab=f"/svc/web => /$/inet/127.0.0.1/{free_port()} & /$/inet/127.0.0.1/{{0}}")
    async with world.running(Backend()):
        answers = [await world.ask(request) for request in (GET, POST, CHUNKED) * 10]

    assert {answer.status for answer in answers} == {200}


async def test_a_retry_never_goes_to_the_endpoint_that_has_just_failed() -> None:
    policy = ClientPolicy(balancer=BalancerParams("roundRobin"), accrual=AccrualParams("none"))
    world = World(dtab="/svc/web => /#/pool", classifier="io.l5d.http.retryableRead5XX", client=policy)
    bad = Backend([BAD])
    async with world.running(bad, Backend(), Backend()):
        for number in range(60):
            before = len(bad.seen)
            assert (await world.ask(GET)).status == 200
            assert len(bad.seen) <= before + 1, number

    assert len(bad.seen) >= 15, "it gets its share of first attempts"


async def test_a_backend_that_dies_under_load_costs_no_idempotent_request() -> None:
    """Both endpoints serve; one is killed while it holds requests; nobody notices."""
    world = World(dtab="/svc/web => /#/pool")
    victim, other = Backend([_slowly]), Backend([_slowly])
    statuses: list[int] = []

    async def client() -> None:
        caller = await world.connect()
        for _ in range(25):
            await caller.send(GET)
            statuses.append((await caller.answer()).status)
        await caller.stream.aclose()

    async with world.running(victim, other), trio.open_nursery() as load:
        for _ in range(8):
            load.start_soon(client)
        while len(victim.seen) < 40:
            await trio.sleep(0.001)
        victim.kill()

    assert statuses == [200] * 200


async def _slowly(stream: trio.SocketStream, request: bytes) -> bool:
    await trio.sleep(0.002)
    await stream.send_all(OK)
    return True


async def test_the_budget_ends_a_storm() -> None:
    world = World(
        classifier="io.l5d.http.retryableRead5XX",
        budget=RetryBudgetParams(ttl=60, min_per_sec=0, percent_can_retry=0.2),
        client=NEVER_DEAD,
    )
    async with world.running(Backend([BAD])):
        caller = await world.connect()
        for _ in range(50):
            await caller.send(GET)
            await caller.answer()
        await caller.stream.aclose()

    assert len(world.backends[0].seen) == 60


@pytest.mark.parametrize("most", [0, 1, 5])
async def test_one_request_is_not_tried_for_ever(most: int) -> None:
    budget = RetryBudgetParams(percent_can_retry=100)
    world = World(classifier="io.l5d.http.retryableRead5XX", budget=budget, max_retries=most, client=NEVER_DEAD)
    async with world.running(Backend([BAD])):
        answer = await world.ask(GET)

    assert (answer.status, len(world.backends[0].seen)) == (500, most + 1)


async def test_without_retries_what_was_never_sent_goes_elsewhere_all_the_same() -> None:
    dead = Backend()
    async with World(dtab="/svc/web => /#/pool", max_retries=0).running(dead, Backend()) as world:
        dead.kill()
        answers = [await world.ask(POST) for _ in range(20)]

    assert {answer.status for answer in answers} == {200}


async def test_a_request_is_not_tried_again_where_nothing_is_usable() -> None:
    """Five failures take the endpoint for dead. What follows goes there, for want of a better one, but once only."""
    world = World(classifier="io.l5d.http.retryableRead5XX", budget=RetryBudgetParams(percent_can_retry=100))
    async with world.running(Backend([BAD])):
        first = await world.ask(GET)
        seen = len(world.backends[0].seen)
        others = [(await world.ask(GET)).status for _ in range(20)]

    assert (first.status, seen) == (500, 5)
    assert (others, len(world.backends[0].seen)) == ([500] * 20, 25)
    assert next(iter(world.stats.services.series())).budget_exhausted == 0


async def test_a_lost_request_is_not_tried_again_where_nothing_is_usable() -> None:
    async with World().running(Backend([CLOSE])) as world:
        for _ in range(12):
            await world.ask(GET)

    assert len(world.backends[0].seen) == 5 + 10, "two requests found out, with three attempts and two"


async def test_a_retry_is_worth_while_again_when_a_trial_is_due() -> None:
    soon = ClientPolicy(accrual=AccrualParams(failures=1, backoff=ConstantBackoff(0.2)))
    world = World(classifier="io.l5d.http.retryableRead5XX", client=soon)
    async with world.running(Backend([BAD, OK])):
        first = await world.ask(GET)
        await trio.sleep(0.25)
        second = await world.ask(GET)

    assert (first.status, second.status) == (500, 200)


async def test_retries_are_spread_over_time_and_their_pauses_grow_to_a_cap() -> None:
    arrivals: list[float] = []

    async def failing(stream: trio.SocketStream, request: bytes) -> bool:
        arrivals.append(trio.current_time())
        await stream.send_all(BAD)
        return True

    backoff = DecorrelatedJitter(0.02, 0.1)
    world = World(classifier="io.l5d.http.retryableRead5XX", backoff=backoff, client=NEVER_DEAD)
    async with world.running(Backend([failing])):
        await world.ask_at_once(4, GET)

    assert len(arrivals) == 4 * 6
    assert max(arrivals) - min(arrivals) > 5 * 0.02
    gaps = [after - before for before, after in pairwise(sorted(arrivals)[4:])]
    assert len({round(gap, 4) for gap in gaps}) > 5


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_post_whose_body_was_sent_is_not_sent_again_whatever_went_wrong_behind_the_backend(status: int) -> None:
    reply = b"HTTP/1.1 %d Oops\r\nContent-Length: 2\r\n\r\nno" % status
    for classifier in ("nonRetryable5XX", "retryableRead5XX", "retryableIdempotent5XX"):
        world = World(classifier=f"io.l5d.http.{classifier}")
        async with world.running(Backend([reply, OK])):
            caller = await world.connect()
            await caller.send(POST)
            answer = await caller.answer()
            await caller.stream.send_eof()
            assert (answer.status, answer.body, await caller.rest()) == (status, b"no", b"")
            await caller.stream.aclose()
        assert len(world.backends[0].seen) == 1


@pytest.mark.parametrize(("size", "attempts"), [(64 * 1024, 2), (64 * 1024 + 1, 1)])
async def test_a_body_of_more_than_64_kib_streams_through_and_is_not_sent_again(size: int, attempts: int) -> None:
    head = b"PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n" % size
    async with World(classifier="io.l5d.http.retryableIdempotent5XX").running(Backend([BAD, OK])) as world:
        caller = await world.connect()
        await caller.send(head)
        await trio.sleep(0.02)  # so that it streams
        await caller.send(b"x" * size)
        answer = await caller.answer()
        await caller.stream.aclose()

    assert answer.status == (200 if attempts == 2 else 500)
    assert [len(seen.partition(b"\r\n\r\n")[2]) for seen in world.backends[0].seen] == [size] * attempts


async def test_the_total_time_cuts_the_retries_too() -> None:
    async def never(stream: trio.SocketStream, request: bytes) -> None:
        await stream.receive_some()

    async with World(total_timeout=0.2).running(Backend([never])) as world:
        started = time.perf_counter()
        answer = await world.ask(GET)
        took = time.perf_counter() - started

    assert answer.status == 504
    assert 0.19 < took < 2
    assert "error=http_response_timeout;" in str(answer.get("proxy-status"))
    assert world.backends[0].ended == 0


async def test_the_second_attempt_after_one_that_took_too_long_is_at_another_endpoint() -> None:
    async def never(stream: trio.SocketStream, request: bytes) -> None:
        await stream.receive_some()

    client = ClientPolicy(attempt_timeout=0.1)
    world = World(dtab="/svc/web => /#/pool", classifier="io.l5d.http.retryableRead5XX", client=client)
    async with world.running(Backend([never]), Backend()):
        started = trio.current_time()
        answers = [await world.ask(GET) for _ in range(6)]
        took = trio.current_time() - started
        stuck, other = (len(backend.seen) for backend in world.backends)

    assert {answer.status for answer in answers} == {200}
    assert (other, stuck >= 1) == (6, True)
    assert 0.1 * stuck <= took < 0.1 * stuck + 1


async def test_the_answer_at_the_end_of_the_total_time_is_in_time_though_retries_are_under_way() -> None:
    async def slow(stream: trio.SocketStream, request: bytes) -> bool:
        await trio.sleep(0.08)
        await stream.send_all(BAD)
        return True

    times = []
    world = World(classifier="io.l5d.http.retryableRead5XX", total_timeout=0.3, client=NEVER_DEAD)
    async with world.running(Backend([slow])):
        for _ in range(5):
            started = trio.current_time()
            answer = await world.ask(GET)
            times.append(trio.current_time() - started)
            assert answer.status == 504
            assert b"tried 4 times" in answer.body

    assert min(times) >= 0.3
    assert min(times) < 0.32, "a busy machine may be late, but not each time"


async def test_what_is_left_of_a_deadline_shrinks_from_attempt_to_attempt() -> None:
    async def failing(stream: trio.SocketStream, request: bytes) -> bool:
        await trio.sleep(0.2)
        await stream.send_all(BAD)
        return True

    now = time.time_ns()
    async with World(classifier="io.l5d.http.retryableRead5XX").running(Backend([failing, OK])) as world:
        answer = await world.ask(GET[:-2] + b"l5d-ctx-deadline: %d %d\r\n\r\n" % (now, now + 2 * 10**9))

    assert answer.status == 200
    fields = [seen.partition(b"l5d-ctx-deadline: ")[2].split()[:2] for seen in world.backends[0].seen]
    left = [(int(deadline) - int(start)) / 1e6 for start, deadline in fields]
    assert 1000 < left[0] <= 2000
    assert left[0] - left[1] == pytest.approx(200, abs=100)
    assert abs(int(fields[0][1]) - int(fields[1][1])) < 50_000_000, "the point in time is the same"


async def test_an_attempt_that_takes_too_long_is_made_again_elsewhere() -> None:
    async def never(stream: trio.SocketStream, request: bytes) -> None:
        await stream.receive_some()

    world = World(classifier="io.l5d.http.retryableRead5XX", client=ClientPolicy(attempt_timeout=0.1))
    async with world.running(Backend([never, OK])):
        read = await world.ask(GET)

    assert (read.status, len(world.backends[0].seen)) == (200, 2)


async def test_a_deadline_that_has_passed_is_refused_unsent_and_one_that_has_not_travels_on() -> None:
    now = time.time_ns()
    async with World().running(Backend()) as world:
        late = await world.ask(GET[:-2] + b"l5d-ctx-deadline: %d %d\r\n\r\n" % (now, now - 1))
        timely = await world.ask(GET[:-2] + b"l5d-ctx-deadline: %d %d\r\n\r\n" % (now, now + 60 * 10**9))

    assert (late.status, late.get("l5d-retryable"), timely.status) == (504, "true", 200)
    (seen,) = world.backends[0].seen
    told = int(seen.partition(b"l5d-ctx-deadline: ")[2].split()[1])
    assert abs(told - (now + 60 * 10**9)) < 10**9


async def test_a_union_divides_the_traffic() -> None:
    world = World(dtab="/svc/web => 3*/$/inet/127.0.0.1/{0} & 1*/$/inet/127.0.0.1/{1}")
    async with world.running(Backend(), Backend()):
        caller = await world.connect()
        for _ in range(400):
            await caller.send(GET)
            await caller.answer()
        await caller.stream.aclose()

    first, second = (len(backend.seen) for backend in world.backends)
    assert (first + second, 260 < first < 340) == (400, True)


async def test_the_share_of_an_empty_branch_fails() -> None:
    async with World(dtab="/svc/web => 1*/$/inet/127.0.0.1/{0} & 1*$").running(Backend()) as world:
        answers = [await world.ask(GET) for _ in range(60)]

    failed = [answer for answer in answers if answer.status == 502]
    assert 10 < len(failed) < 50
    assert b"Empty" in failed[0].body


async def test_a_repeat_takes_no_share_that_is_empty() -> None:
    world = World(dtab=f"/svc/web => 1 * /$/inet/127.0.0.1/{free_port()} & 1 * /$/inet/127.0.0.1/{{0}} & 2 * $")
    world.failover = False
    async with world.running(Backend()):
        statuses = [(await world.ask(GET)).status for _ in range(200)]

    assert 80 < statuses.count(502) < 115, "the half that was asked for, and not what was refused before"


async def test_branches_without_any_weight_are_not_said_to_be_empty() -> None:
    async with World(dtab="/svc/web => 0 * /$/inet/127.0.0.1/{0} & 0 * /$/inet/127.0.0.1/1").running(
        Backend()
    ) as world:
        answer = await world.ask(GET)

    assert answer.status == 502
    assert answer.body == b"bind /svc/web: none of its branches has any weight\n"


async def test_what_was_tried_is_told() -> None:
    async with World().running(Backend([CLOSE])) as world:
        answer = await world.ask(GET)

    assert answer.status == 502
    assert b"tried 3 times" in answer.body


async def test_a_lone_endpoint_that_refuses_is_asked_once() -> None:
    async with World(dtab=f"/svc/web => /$/inet/127.0.0.1/{free_port()}").running() as world:
        answer = await world.ask(GET)
        retries = next(iter(world.stats.services.series())).retries.total()

    assert (answer.status, retries, b"tried" in answer.body) == (502, 0, False)
