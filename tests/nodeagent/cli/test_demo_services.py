"""Each instance keeps its habit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import h11
import pytest
import trio

from nodeagent.cli.demo_http import read_message, render
from nodeagent.cli.demo_services import SERVICES, Habit, Instance, open_services, write_discovery

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def serving(habit: Habit) -> AsyncIterator[Instance]:
    instance = Instance("users", habit, Random(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(instance.run)
        yield instance
        nursery.cancel_scope.cancel()


async def ask(port: int, methods: Sequence[str]) -> list[int]:
    """The status of each request on one connection."""
    connection = h11.Connection(h11.CLIENT)
    statuses = []
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        for method in methods:
            request = h11.Request(method=method, target="/", headers=[("host", "users"), ("content-length", "0")])
            await stream.send_all(render(connection, request))
            response = await read_message(connection, stream)
            assert isinstance(response, h11.Response)
            statuses.append(response.status_code)
            connection.start_next_cycle()
    return statuses


async def test_one_connection_carries_many_requests() -> None:
    async with serving(Habit(0.0)) as instance:
        assert await ask(instance.port, ["GET", "HEAD", "POST", "GET"]) == [200] * 4
        assert instance.answered == 4


async def test_half_of_the_answers_fail() -> None:
    async with serving(Habit(0.0, failures=0.5)) as instance:
        statuses = await ask(instance.port, ["GET"] * 200)

    assert 80 <= statuses.count(500) <= 120
    assert statuses.count(500) + statuses.count(200) == 200


async def test_an_answer_takes_its_time() -> None:
    async with serving(Habit(0.05)) as instance:
        began = trio.current_time()
        await ask(instance.port, ["GET"])

        assert trio.current_time() - began >= 0.05


async def test_a_caller_that_is_no_http_client_ends_only_its_own_connection() -> None:
    async with serving(Habit(0.0)) as instance:
        async with await trio.open_tcp_stream("127.0.0.1", instance.port) as stream:
            await stream.send_all(b"\x00\x01\r\n\r\n")
            assert await stream.receive_some() == b""

        assert await ask(instance.port, ["GET"]) == [200]


async def test_connection_close_is_obeyed() -> None:
    async with serving(Habit(0.0)) as instance, await trio.open_tcp_stream("127.0.0.1", instance.port) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: users\r\nConnection: close\r\n\r\n")
        said = b"".join([chunk async for chunk in stream])

    assert said.startswith(b"HTTP/1.1 200 ")


async def test_discovery_has_a_file_for_each_service(tmp_path: Path) -> None:
    instances = open_services(Random())
    write_discovery(tmp_path, instances)
    async with trio.open_nursery() as nursery:  # so that their ports are given back
        for instance in instances:
            nursery.start_soon(instance.run)
        nursery.cancel_scope.cancel()

    assert {path.name for path in tmp_path.iterdir()} == set(SERVICES) == {"users", "orders", "payments"}
    expected = [f"127.0.0.1 {each.port}" for each in instances if each.service == "orders"]
    assert (tmp_path / "orders").read_text().splitlines() == expected
