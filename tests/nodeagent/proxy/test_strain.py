"""A listener while memory is short: what is refused, what goes on, and that it never stands still."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from nodeagent.proxy.conversation import Conversation
from nodeagent.proxy.server import GROWTH, ServerLimits
from tests.nodeagent.proxy.world import OK, Answer, Backend, Held, World

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
PUT = b"PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 20000\r\n\r\n" + b"x" * 19_000
WHY = "memory: 91 % of the 100 MB that the agent may take are in use"


async def _until(true: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        while not true():
            await trio.sleep(0.005)


async def test_new_work_is_refused_and_old_work_finishes() -> None:
    backend, answers = Held(), list[Answer]()
    async with World().running(backend) as world:

        async def ask() -> None:
            answers.append(await world.ask(GET))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await _until(lambda: bool(backend.seen))
            world.server.strain(WHY)
            refused = await world.ask(GET)
            backend.let.set()
        world.server.strain(None)
        again = await world.ask_at_once(5, GET)

    assert (refused.status, refused.get("retry-after"), refused.body.decode()) == (503, "1", WHY + "\n")
    assert answers[0].status == 200
    assert [(answer.status, answer.get("connection")) for answer in again] == [(200, None)] * 5
    assert world.stats.errors("test")["connection_limit_reached"] == 1
    assert world.server.stats.statuses[2] == 6


async def test_one_request_at_a_time_is_always_let_in() -> None:
    """Else an agent that takes too much at rest would refuse everything for ever."""
    async with World().running(Backend()) as world:
        world.server.strain(WHY, accepts=False)
        statuses = [(await world.ask(GET)).status for _ in range(3)]

    assert statuses == [200] * 3


async def test_nobody_is_accepted_while_memory_is_full() -> None:
    backend = Held()
    async with World().running(backend) as world, trio.open_nursery() as nursery:
        nursery.start_soon(world.ask, GET)
        await _until(lambda: bool(backend.seen))
        world.server.strain(WHY, accepts=False)
        caller = await world.connect()
        await caller.send(GET)
        with trio.move_on_after(0.3):
            await caller.answer()
        connections = len(world.server.conversations)
        world.server.strain(None)
        backend.let.set()
        served = await caller.answer()
        await caller.stream.aclose()

    assert (connections, served.status) == (1, 200)


async def test_connections_that_idle_are_closed() -> None:
    """They take memory, too."""
    async with World().running(Backend()) as world:
        callers = [await world.connect() for _ in range(3)]
        for caller in callers:
            await caller.send(GET)
            assert (await caller.answer()).status == 200
        world.server.strain(WHY)
        for caller in callers:
            assert await caller.rest() == b""
            await caller.stream.aclose()

        assert not world.server.conversations


@pytest.mark.parametrize("strained", [False, True])
async def test_a_body_that_is_being_sent_is_not_kept_for_a_repeat(strained: bool) -> None:
    """The backend breaks off; whether the request can be sent again tells whether the body was kept."""

    async def cut(stream: trio.SocketStream, _: bytes) -> None:
        return None

    async with World().running(Backend([cut, OK])) as world:
        caller = await world.connect()
        await caller.send(PUT)
        await _until(
            lambda: any(isinstance(each, Conversation) and each._replay for each in world.server.conversations)
        )
        await trio.testing.wait_all_tasks_blocked(0.01)
        if strained:
            world.server.strain(WHY)
        await caller.send(b"x" * 1000)
        answer = await caller.answer()
        await caller.stream.aclose()

    assert answer.status == (502 if strained else 200)


async def test_a_burst_is_looked_at_before_any_clock_could() -> None:
    backend, looks = Held(), list[int]()
    async with World().running(backend) as world, trio.open_nursery() as nursery:

        def look() -> None:
            looks.append(world.server.in_flight)
            world.server.strain(WHY if len(looks) >= 3 else None)

        world.server.on_growth = look
        world.server.strain(None)
        for _ in range(3 * GROWTH + 5):
            nursery.start_soon(world.ask, GET)
        await _until(lambda: world.stats.errors("test")["connection_limit_reached"] >= 5)
        backend.let.set()

    assert looks[:3] == [GROWTH, 2 * GROWTH, 3 * GROWTH]
    assert len(backend.seen) == 3 * GROWTH


async def test_the_limit_of_a_listener_holds_whatever_the_memory_says() -> None:
    backend = Held()
    world = World(limits=ServerLimits(concurrent=2))
    async with world.running(backend), trio.open_nursery() as nursery:
        world.server.strain(None)
        for _ in range(2):
            nursery.start_soon(world.ask, GET)
        await _until(lambda: len(backend.seen) == 2)
        refused = await world.ask(GET)
        backend.let.set()

    assert refused.body == b"2 requests are under way, as many as maxConcurrentRequests allows\n"
