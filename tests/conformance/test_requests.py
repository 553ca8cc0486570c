"""Hostile requests, in bytes, through a running agent: every row of the tables, example by example.

What is refused never reaches the backend, and nothing behind it is taken for a request. What passes arrives in one
form, which another reader than the agent's reads the same, and the connection stays in step.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import trio

from tests.conformance.framing import FRAMING
from tests.conformance.heads import HEADS
from tests.conformance.hops import HOPS
from tests.conformance.recorder import Recorder, without_own
from tests.conformance.rules import Arrives, Refused
from tests.conformance.targets import TARGETING
from tests.nodeagent.proxy.world import World

REQUESTS: tuple[Refused | Arrives, ...] = (*FRAMING, *HEADS, *TARGETING, *HOPS)

NEXT = b"GET /next HTTP/1.1\r\nHost: web\r\n\r\n"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World().running(Recorder()) as running:
        yield running


def recorder(world: World) -> Recorder:
    backend = world.backends[0]
    assert isinstance(backend, Recorder)
    return backend


async def say(world: World, request: bytes, *, refused: bool) -> tuple[list[int], bool]:
    """Send a request and the next one; return the statuses of all answers, and whether the last one said "close"."""
    caller = await world.connect()
    statuses: list[int] = []
    closes = False
    method = "HEAD" if request.startswith(b"HEAD") and not refused else "GET"
    with trio.fail_after(10):
        async with caller.stream:
            with contextlib.suppress(trio.BrokenResourceError):  # the agent has stopped listening
                await caller.send(request + NEXT)
            while not closes and len(statuses) < 2:
                answer = await caller.answer(method if not statuses else "GET")
                statuses.append(answer.status)
                closes = answer.get("connection") == "close"
            if closes:
                assert await caller.rest() == b"", "something was said behind the last answer"
        while world.server.conversations or world.server.in_flight:
            await trio.sleep(0.001)
    return statuses, closes


def brief(request: bytes) -> str:
    return f"{request[:200]!r}" + ("..." if len(request) > 200 else "")


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in REQUESTS if isinstance(row, Refused)])
async def test_what_is_refused_reaches_nobody(world: World, row: Refused) -> None:
    wrong = {}
    expected: tuple[list[int], bool] = ([row.status, 200], False) if row.stays else ([row.status], True)
    for request in row.examples:
        seen = recorder(world).seen
        seen.clear()
        said = await say(world, request, refused=True)
        if said != expected or [without_own(each) for each in seen] != ([NEXT] if row.stays else []):
            wrong[brief(request)] = said, seen[:]

    assert (wrong, recorder(world).faults) == ({}, [])


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in REQUESTS if isinstance(row, Arrives)])
async def test_what_passes_arrives_in_one_form(world: World, row: Arrives) -> None:
    wrong = {}
    for request, arrives in row.examples.items():
        closes = b"HTTP/1.0\r\n" in request or b"\r\nConnection: close" in request.partition(b"\r\n\r\n")[0]
        seen = recorder(world).seen
        seen.clear()
        said = await say(world, request, refused=False)
        came = [without_own(each) for each in seen]
        if said != (([200], True) if closes else ([200, 200], False)) or came != [arrives] + [NEXT] * (not closes):
            wrong[brief(request)] = said, came, [arrives]

    assert (wrong, recorder(world).faults) == ({}, [])


def test_the_tables_are_as_large_as_they_claim() -> None:
    assert sum(len(row.examples) for row in REQUESTS) > 700
    assert len({row.id for row in REQUESTS}) == len(REQUESTS)
