"""Fallback by health, over real sockets: what takes over, when the first choice is tried again, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from balancer.backoff import ConstantBackoff
from balancer.params import AccrualParams, RetryBudgetParams
from nodeagent.proxy.balance import Client, ClientPolicy
from tests.nodeagent.proxy.world import CLOSE, OK, Backend, World, free_port, queue_is_full

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nhi"
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
FIRST = "/svc/web => /$/inet/127.0.0.1/{dead} | /$/inet/127.0.0.1/{{0}}"


def named(text: bytes) -> Backend:
    return Backend([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)])


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
async def test_the_request_that_finds_it_refusing_is_answered_by_the_next_choice(request_: bytes) -> None:
    world = World(dtab=FIRST.format(dead=free_port()))
    async with world.running(named(b"fallback")):
        answers = [(await world.ask(request_)).body for _ in range(5)]

    assert answers == [b"fallback"] * 5


async def test_linkerds_rule_stays_with_the_name() -> None:
    world = World(dtab=FIRST.format(dead=free_port()), failover=False)
    async with world.running(named(b"fallback")):
        answer = await world.ask(GET)

    assert answer.status == 502
    assert "error=connection_refused" in str(answer.get("proxy-status"))


async def test_a_union_gives_the_share_of_a_dead_branch_to_the_others() -> None:
    dead = free_port()
    world = World(dtab=f"/svc/web => 9 * /$/inet/127.0.0.1/{dead} & 1 * /$/inet/127.0.0.1/{{0}}")
    async with world.running(named(b"alive")):
        answers = [(await world.ask(GET)).body for _ in range(20)]

    assert answers == [b"alive"] * 20


async def test_an_ejected_first_choice_gets_trials_and_then_the_traffic_back() -> None:
    primary = Backend([BROKEN] * 5 + [OK])
    soon = ClientPolicy(accrual=AccrualParams(backoff=ConstantBackoff(0.3)))
    world = World(dtab="/svc/web => /$/inet/127.0.0.1/{0} | /$/inet/127.0.0.1/{1}", client=soon)
    async with world.running(primary, named(b"fallback")):
        statuses = [(await world.ask(GET)).status for _ in range(5)]
        during = [(await world.ask(GET)).body for _ in range(5)]
        await trio.sleep(0.3)
        after = [(await world.ask(GET)).body for _ in range(5)]

    assert statuses == [500] * 5
    assert during == [b"fallback"] * 5
    assert after == [b"ok"] * 5


async def test_a_trial_that_is_refused_costs_its_request_nothing() -> None:
    primary = Backend()
    world = World(dtab="/svc/web => /$/inet/127.0.0.1/{0} | /$/inet/127.0.0.1/{1}")
    async with world.running(primary, named(b"fallback")):
        assert (await world.ask(GET)).body == b"ok"
        primary.kill()
        answers = []
        started = trio.current_time()
        while trio.current_time() < started + 2.5:  # longer than until the first trial
            answers.append(await world.ask(GET))
            await trio.sleep(0.05)
        refusals = _client(world, primary).stats.connect_failures["connection_refused"]

    assert {answer.body for answer in answers} == {b"fallback"}
    assert 2 <= refusals <= 4


async def test_when_nothing_is_usable_the_first_choice_says_why() -> None:
    first, second = free_port(), free_port()
    world = World(dtab=f"/svc/web => /$/inet/127.0.0.1/{first} | /$/inet/127.0.0.1/{second}")
    async with world.running():
        answers = [await world.ask(GET) for _ in range(3)]

    assert [answer.status for answer in answers] == [502] * 3
    assert f"127.0.0.1:{first}".encode() in answers[-1].body


async def test_a_tunnel_falls_back_too() -> None:
    world = World(dtab=FIRST.format(dead=free_port()))
    async with world.running(Backend()):
        answer = await world.ask(b"CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\n\r\n", method="CONNECT")

    assert answer.status == 200


async def test_the_budget_for_retries_survives_the_change() -> None:
    world = World(dtab=FIRST.format(dead=free_port()))
    async with world.running(named(b"fallback")):
        bindings = world.router.bindings
        name = world.router.prefix / "web"
        before = await bindings.service(name, None)
        await world.ask(GET)
        after = await bindings.service(name, None)

    assert after is not before
    assert after.budget is before.budget


async def test_a_crowd_that_finds_the_first_choice_refusing_goes_on_whole() -> None:
    world = World(dtab=FIRST.format(dead=free_port()), client=ClientPolicy(requeues=RetryBudgetParams(10, 0, 0)))
    async with world.running(named(b"fallback")):
        answers = await world.ask_at_once(50, GET)

    assert {answer.body for answer in answers} == {b"fallback"}, "going on costs no backend anything: nobody pays"


@pytest.mark.parametrize(("dead", "status"), [(6, 200), (25, 200), (26, 502)])
async def test_what_was_never_sent_goes_to_twenty_six_endpoints_at_most(dead: int, status: int) -> None:
    port = free_port()
    refusing = " | ".join(f"/$/inet/127.0.0.{number}/{port}" for number in range(1, dead + 1))
    world = World(dtab=f"/svc/web => {refusing} | /$/inet/127.0.0.1/{{0}}", budget=RetryBudgetParams(10, 0, 0))
    async with world.running(named(b"fallback")):
        answer = await world.ask(POST)

    assert (answer.status, len(world.backends[0].seen)) == (status, int(status == 200))


async def test_a_connection_that_does_not_come_about_is_as_good_as_a_refusal() -> None:
    with queue_is_full() as port:
        world = World(dtab=FIRST.format(dead=port), client=ClientPolicy(connect_timeout=0.05))
        async with world.running(named(b"fallback")):
            answers = [(await world.ask(POST)).body for _ in range(5)]
            (client,) = (c for c in world.router.bindings.clients.values() if c.id[-1] == str(port))

    assert answers == [b"fallback"] * 5
    assert sum(client.stats.connect_failures.values()) == 1, "it is not waited for again before the back-off is over"


EJECTED = ClientPolicy(accrual=AccrualParams(failures=1, backoff=ConstantBackoff(0.1)))
"""The first failure ejects, for a moment."""
TWO = "/svc/web => /$/inet/127.0.0.1/{0} | /$/inet/127.0.0.1/{1}"


async def silent(stream: trio.SocketStream, request: bytes) -> None:
    await trio.sleep_forever()


async def streaming(stream: trio.SocketStream, request: bytes) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\nand so on")
    await trio.sleep_forever()


async def test_of_a_crowd_one_request_is_the_trial() -> None:
    primary = Backend([CLOSE, silent])
    world = World(dtab=TWO, client=EJECTED)
    async with world.running(primary, named(b"fallback")):
        await world.ask(GET)
        await trio.sleep(0.1)
        with trio.move_on_after(0.3):
            await world.ask_at_once(50, GET)
        tried = len(primary.seen)

    assert tried == 1 + 1


@pytest.mark.parametrize("limit", [0.2, None], ids=["requestAttemptTimeoutMs", "the agent's own"])
async def test_a_trial_that_gets_no_answer_goes_on_and_costs_no_retry(
    limit: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if limit is None:
        monkeypatch.setattr("nodeagent.proxy.balance.TRIAL", 0.2)
    primary = Backend([BROKEN, silent])
    world = World(dtab=TWO, client=replace(EJECTED, attempt_timeout=limit), budget=RetryBudgetParams(10, 0, 0))
    async with world.running(primary, named(b"fallback")):
        await world.ask(GET)
        await trio.sleep(0.1)
        answer = await world.ask(GET)
        failures = _client(world, primary).stats.failure

    assert answer.body == b"fallback"
    assert (len(primary.seen), failures) == (2, 2)


async def test_what_cannot_be_repeated_is_not_the_trial_while_something_else_may_be() -> None:
    primary = Backend([CLOSE, silent])
    world = World(dtab=TWO, client=EJECTED)
    async with world.running(primary, named(b"fallback")):
        await world.ask(GET)
        await trio.sleep(0.1)
        answers = await world.ask_at_once(10, POST)

    assert {answer.body for answer in answers} == {b"fallback"}
    assert len(primary.seen) == 1


async def test_a_service_that_only_ever_gets_posts_recovers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodeagent.proxy.service.HOLD_BACK", 0.2)
    world = World(dtab=TWO, client=EJECTED)
    async with world.running(Backend([BROKEN, OK]), named(b"fallback")):
        await world.ask(POST)
        held_back = (await world.ask(POST)).body
        await trio.sleep(0.1 + 0.2)
        after = [(await world.ask(POST)).body for _ in range(3)]

    assert held_back == b"fallback"
    assert after == [b"ok"] * 3


async def test_a_trial_whose_answer_streams_on_has_succeeded_with_its_head() -> None:
    world = World(dtab=TWO, client=EJECTED)
    async with world.running(Backend([BROKEN, streaming, OK]), named(b"fallback")):
        await world.ask(GET)
        await trio.sleep(0.1)
        caller = await world.connect()
        async with caller.stream:
            await caller.send(GET)
            await caller.stream.receive_some()
            meanwhile = [(await world.ask(GET)).body for _ in range(3)]

    assert meanwhile == [b"ok"] * 3


async def test_a_tunnel_that_is_the_trial_has_succeeded_when_it_is_open() -> None:
    world = World(dtab=TWO, client=EJECTED)
    async with world.running(Backend([BROKEN, OK]), named(b"fallback")):
        await world.ask(GET)
        await trio.sleep(0.1)
        caller = await world.connect()
        async with caller.stream:
            await caller.send(b"CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\n\r\n")
            opened = (await caller.answer("CONNECT")).status
            meanwhile = [(await world.ask(GET)).body for _ in range(3)]

    assert opened == 200
    assert meanwhile == [b"ok"] * 3


def _client(world: World, backend: Backend) -> Client:
    (client,) = (c for c in world.router.bindings.clients.values() if c.id[-1] == str(backend.port))
    return client
