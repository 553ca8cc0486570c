"""Collections as cells: one for a query, sorted, with the errors in its value."""

from __future__ import annotations

import random

import trio
from trio.testing import MockClock

from namer.k8s.live import Collections, Objects
from namer.k8s.namer import slices_query
from namer.k8s.objects import EndpointSlice
from tests.namer.k8s.world import cluster, ignore, put_slice

QUERY = slices_query("shop", "users", "")


def names(cell: Objects[EndpointSlice]) -> list[str] | None:
    answer = cell.value.answer
    return None if answer is None else [each.metadata.name for each in answer]


async def test_a_collection_is_live_while_somebody_wants_it(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, name="b")
        put_slice(world.server, name="a")
        collections = Collections("/#/k8s", world.api, world.live.watches, random.Random(7))
        cell = collections.cell("endpoint slices", "shop/users", QUERY)
        assert collections.cell("endpoint slices", "shop/users", QUERY) is cell
        assert names(cell) is None
        assert world.server.asked == []

        cell.subscribe(ignore)
        await trio.sleep(1)
        assert names(cell) == ["a", "b"]

        cell.unsubscribe(ignore)
        await trio.sleep(60)
        assert world.server.watches == 0


async def test_a_failure_is_told_to_those_who_subscribe_and_so_is_its_end(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, name="a")
        cell = Collections("/#/k8s", world.api, world.live.watches, random.Random(7)).cell("x", "users", QUERY)
        problems: list[bool] = []
        cell.subscribe(lambda: problems.append(cell.value.problem is not None))
        await trio.sleep(1)
        world.server.refuse = 500
        world.server.cut()
        await trio.sleep(3)
        world.server.refuse = None
        await trio.sleep(6)

        assert problems[0] is False
        assert problems[1] is True
        assert problems[-1] is False
        assert names(cell) == ["a"]
