"""Fallback by health, over real sockets: what takes over, when the first choice is tried again, and what it costs."""

from __future__ import annotations

import pytest
import trio

from balancer.backoff import ConstantBackoff
from balancer.params import AccrualParams
from nodeagent.proxy.balance import Client, ClientPolicy
from tests.nodeagent.proxy.world import OK, Backend, World, free_port

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


def _client(world: World, backend: Backend) -> Client:
    (client,) = (c for id_, c in world.router.bindings.clients.items() if id_[-1] == str(backend.port))
    return client
