"""A flood of invented names leaves few series in a running agent, and idle ones go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock, wait_all_tasks_blocked

import conf
from nodeagent.agent import Agent
from nodeagent.telemetry.registry import OTHER, SWEEP_SECONDS
from tests.nodeagent.proxy.world import Backend, Caller
from tests.nodeagent.running import Running

pytestmark = pytest.mark.e2e

HOSTS = 2500
"""More than any cache or list of names holds: beyond, each is as the one before (test_prometheus.py has 10,000)."""
IDLE = 120
"""Seconds without use until a name goes."""

CONFIG = """
admin: {{port: 0}}
telemetry: [{{kind: io.l5d.commonMetrics, idleTtlSecs: {idle}}}]
routers:
- protocol: http
  label: out
  dtab: |
    /addresses => /$/inet ;
    /svc       => /$/io.buoyant.hostportPfx/addresses ;
    /svc/web   => /$/inet/127.0.0.1/{backend}
  addressGuard: {{allow: [127.0.0.0/8]}}
  bindingCache: {{idleTtlSecs: {idle}}}
  servers: [{{port: 0}}]
"""

Samples = dict[str, dict[str, float]]
"""By metric, what is summed up under each name of a service or client."""


@asynccontextmanager
async def agent(backend: Backend) -> AsyncIterator[Running]:
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        running = Agent(conf.load(CONFIG.format(backend=backend.port, idle=IDLE), "test"))
        yield Running(running, await nursery.start(running.run))
        nursery.cancel_scope.cancel()


async def scrape(running: Running) -> tuple[Samples, int]:
    """What is shown, and how many series that are."""
    page = (await running.admin("/metrics")).body.decode()
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    found: Samples = {}
    for sample in samples:
        name = sample.labels.get("service") or sample.labels.get("client") or ""
        sums = found.setdefault(sample.name.removeprefix("nodeagent_"), {})
        sums[name] = sums.get(name, 0) + sample.value
    return found, len(samples)


async def call(caller: Caller, host: str) -> int:
    await caller.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return (await caller.answer()).status


async def passes(seconds: float, clock: MockClock) -> None:
    """Let time go by, as the housekeeping sees it."""
    for _ in range(round(seconds / SWEEP_SECONDS) + 2):
        clock.jump(SWEEP_SECONDS + 1)
        await wait_all_tasks_blocked()


async def test_a_flood_of_hosts_leaves_few_series_that_go_when_they_are_idle(mock_clock: MockClock) -> None:
    backend = Backend()
    async with agent(backend) as running, await running.connect("router out") as stream:
        caller = Caller(stream)
        for number in range(HOSTS):  # each is an address of this host on which nobody listens
            host = f"127.9.{number // 250}.{number % 250}:{backend.port}"
            assert await call(caller, host) == 502
        assert await call(caller, "web") == 200

        flooded, series = await scrape(running)
        assert series < 1000
        assert sum(flooded["service_requests_total"].values()) == HOSTS + 1
        assert sum(flooded["client_connect_failures_total"].values()) == HOSTS

        for _ in range(20):
            assert await call(caller, "web") == 200
        for _ in range(4):
            await passes(IDLE / 2, mock_clock)
            assert await call(caller, "web") == 200

        later, _ = await scrape(running)
        assert set(later["service_requests_total"]) == {"/svc/web", OTHER}
        assert set(later["client_requests_total"]) == {f"/$/inet/127.0.0.1/{backend.port}", OTHER}
        for metric in ("service_requests_total", "client_connect_failures_total"):
            assert later[metric][OTHER] >= flooded[metric][OTHER] > 0, (
                "it never goes back, and never jumps by what went"
            )
        assert later["service_requests_total"][OTHER] < HOSTS
        assert later["server_requests_total"][""] == HOSTS + 25, "listeners keep the total"
