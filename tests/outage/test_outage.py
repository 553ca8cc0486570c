"""A source of names is killed under load: nothing fails because of it, the age is told, and it heals by itself.

The outage is short here. `OUTAGE_SECONDS=120 pytest tests/outage` makes it as long as a real one.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from tests.nodeagent.cli.processes import NODEAGENT
from tests.nodeagent.proxy.world import Answer, Backend, Caller
from tests.outage.sources import SOURCES, Source, Start

pytestmark = pytest.mark.e2e

OUTAGE = float(os.environ.get("OUTAGE_SECONDS", "4"))
CALLERS = 8
RECOVERY = 35.0  # seconds: the longest pause between two attempts is 30


@dataclass
class Agent:
    """A running agent, and what its callers got from it."""

    proxy: int
    admin: int
    host: str
    answers: Counter[tuple[int, bytes]] = field(default_factory=Counter)

    async def call(self) -> None:
        """Ask over and over, each time when the last answer is there, until cancelled."""
        caller = await self._connect(self.proxy)
        async with caller.stream:
            while True:
                await caller.send(f"GET / HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
                answer = await caller.answer()
                self.answers[answer.status, answer.body] += 1
                await trio.sleep(0.005)

    async def page(self, path: str) -> Answer:
        """A page of the admin port."""
        caller = await self._connect(self.admin)
        async with caller.stream:
            await caller.send(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.admin}\r\nConnection: close\r\n\r\n".encode()
            )
            return await caller.answer()

    async def stale(self) -> list[dict[str, Any]]:
        """The answers whose source fails, of those that have one."""
        state = json.loads((await self.page("/namer_state.json")).body)
        return [each for each in state if each["stale"] and each["error"]]

    async def staleness(self) -> float:
        """What the metrics say of the oldest of them."""
        text = (await self.page("/metrics")).body.decode()
        return max(float(found) for found in re.findall(r"nodeagent_namer_staleness_seconds\{.*\} (\S+)", text))

    async def _connect(self, port: int) -> Caller:
        return Caller(await trio.open_tcp_stream("127.0.0.1", port))


@asynccontextmanager
async def running(directory: pathlib.Path, source: Source) -> AsyncIterator[Agent]:
    """An agent that finds the service by this source."""
    config = directory / "agent.yaml"
    config.write_text(
        f"""
admin: {{port: 0}}
namers: [{source.namer}]
routers: [{{protocol: http, label: out, dtab: "{source.dtab}", servers: [{{port: 0}}]}}]
"""
    )
    log = (directory / "log").open("wb")
    process = await trio.lowlevel.open_process(
        [*NODEAGENT, "run", str(config)], stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        text = ""
        with trio.fail_after(20):
            while text.count("\n") < 2:
                text += (await process.stdout.receive_some()).decode()
        ports = dict(re.findall(r"listening: (.+) on \S+:(\d+)", text))
        yield Agent(int(ports["router out"]), int(ports["admin"]), source.host)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        assert process.stdout is not None
        await process.stdout.aclose()
        log.close()
    assert b"Traceback" not in (directory / "log").read_bytes()


async def eventually(true: Callable[[], Awaitable[bool]], seconds: float) -> float:
    """Wait until something is true, and return for how long that was."""
    began = trio.current_time()
    with trio.fail_after(seconds):
        while not await true():
            await trio.sleep(0.05)
    return trio.current_time() - began


def says(text: bytes) -> Backend:
    return Backend([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)])


@pytest.mark.parametrize("start", SOURCES)
async def test_an_outage_costs_no_request(start: Start, tmp_path: pathlib.Path) -> None:
    before, after = says(b"before"), says(b"after")
    async with trio.open_nursery() as backends:
        await backends.start(before.run)
        await backends.start(after.run)
        async with (
            start(tmp_path, before.port) as source,
            running(tmp_path, source) as agent,
            trio.open_nursery() as load,
        ):
            for _ in range(CALLERS):
                load.start_soon(agent.call)
            await outage(source, agent, after.port)
            load.cancel_scope.cancel()
        backends.cancel_scope.cancel()


async def outage(source: Source, agent: Agent, port: int) -> None:
    """Kill the source and let it come back, and look at what callers and operators see."""

    async def told() -> bool:
        return bool(await agent.stale())

    async def moved() -> bool:
        return bool(agent.answers[200, b"after"])

    async def fresh() -> bool:
        return not await agent.stale() and await agent.staleness() == 0

    await trio.sleep(1)
    assert agent.answers.keys() == {(200, b"before")}

    await source.kill()
    await eventually(told, 10)
    await trio.sleep(OUTAGE)
    stale = await agent.stale()
    assert max(each["stale"] for each in stale) >= OUTAGE - 1
    assert await agent.staleness() >= OUTAGE - 1
    assert agent.answers.keys() == {(200, b"before")}

    pause = max(each["next_attempt"] for each in await agent.stale())
    await source.come_back(port)
    took = await eventually(moved, RECOVERY)
    await eventually(fresh, RECOVERY)
    assert agent.answers.keys() == {(200, b"before"), (200, b"after")}
    print(f"{sum(agent.answers.values())} requests; next attempt was in {pause} s, recovered after {took:.1f} s")
