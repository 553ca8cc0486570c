"""The demo as tasks, in the order in which they start and end. An edge module.

    services              until the agent has ended
    agent                 until its drain is over
    callers and figures   until the time is up, or Ctrl-C

The agent is an ordinary one, and the figures are its own counters; only the shares are what the services counted.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import inf
from random import Random

import trio

from balancer.statistics import NodeStatistics
from conf import AgentConfig
from nodeagent.agent import Agent
from nodeagent.cli.demo_load import CALLERS, Caller, Tally
from nodeagent.cli.demo_services import SERVICES, Instance
from nodeagent.cli.demo_table import EndpointReading, Reading, ServiceReading, ServiceRow, Window
from nodeagent.listen import Listening
from nodeagent.telemetry.stats import ServiceStats

Show = Callable[[float, Sequence[ServiceRow]], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What the callers saw of it all, and how often it was tried again for them."""

    tally: Tally
    retries: int

    def __str__(self) -> str:
        tally = self.tally
        requests, succeeded = tally.answered + tally.lost, tally.answered - tally.failed
        seen = f"{requests} requests: {succeeded} succeeded, {tally.failed} failed, {tally.lost} lost"
        return f"{seen}; retries: {self.retries}"


class Stage:
    """The agent between its services and its callers; construct it within trio."""

    def __init__(self, config: AgentConfig, instances: Sequence[Instance], rng: Random) -> None:
        self._agent = Agent(config, rng)
        self._instances = instances
        self._rng = rng
        self._tally = Tally()
        self._over = trio.Event()

    async def run(
        self,
        seconds: float | None,
        introduce: Callable[[str, str], None],
        view: Callable[[], AbstractContextManager[Show]],
    ) -> Summary:
        """Play for so many seconds, or until SIGINT, SIGTERM, or the agent is told on its admin port to end.

        `introduce` is called with the addresses of the agent and of its admin pages once they listen; what `view` gives
        is called every second. Raises ListenError.
        """
        async with trio.open_nursery() as services:
            for instance in self._instances:
                services.start_soon(instance.run)
            services.start_soon(self._end_by_signal)
            async with trio.open_nursery() as running:
                proxy, admin = await running.start(self._run_agent)
                introduce(_show_address(proxy), _show_address(admin))
                with trio.move_on_after(inf if seconds is None else seconds):
                    await self._under_load(proxy, view)
                retries = sum(each.retries.total() for each in self._agent.stats.services.series())
                self._agent.shutdown()
            services.cancel_scope.cancel()
        return Summary(self._tally, retries)

    async def _end_by_signal(self) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            await anext(signals)
            self._over.set()
            await trio.sleep_forever()  # what follows the first signal is brief, and not to be interrupted

    async def _run_agent(self, *, task_status: trio.TaskStatus[tuple[Listening, ...]]) -> None:
        await self._agent.run(task_status=task_status)
        self._over.set()

    async def _under_load(self, proxy: Listening, view: Callable[[], AbstractContextManager[Show]]) -> None:
        async with trio.open_nursery() as busy:
            for service in SERVICES:
                for _ in range(CALLERS):
                    busy.start_soon(Caller(service, proxy.host, proxy.port, self._tally, self._rng).run)
            busy.start_soon(self._show, view)
            await self._over.wait()
            busy.cancel_scope.cancel()

    async def _show(self, view: Callable[[], AbstractContextManager[Show]]) -> None:
        """Show the figures once a second, until cancelled."""
        window = Window()
        began = trio.current_time()
        with view() as show:
            while True:
                now = trio.current_time()
                if rows := window.add(self._read(now)):
                    show(now - began, rows)
                await trio.sleep(1)

    def _read(self, now: float) -> Reading:
        stats = {each.name: each for each in self._agent.stats.services.series()}
        nodes = self._nodes()
        services = {}
        for service in SERVICES:
            counted = stats.get(f"/svc/{service}") or ServiceStats("", service)
            endpoints = [_endpoint(each, nodes) for each in self._instances if each.service == service]
            services[service] = ServiceReading(
                counted.success,
                counted.failure,
                counted.retries.total(),
                counted.duration.snapshot(),
                tuple(endpoints),
            )
        return Reading(now, services)

    def _nodes(self) -> dict[int, NodeStatistics]:
        """What the balancers know of the endpoints they have, by port."""
        clients = self._agent.routers[0].router.bindings.clients.values()
        return {node.endpoint.port: node for client in clients for node in client.balancer.statistics().nodes}


def _endpoint(instance: Instance, nodes: Mapping[int, NodeStatistics]) -> EndpointReading:
    node = nodes.get(instance.port)
    state, load = ("unused", 0.0) if node is None else (node.health.value, node.load)
    return EndpointReading(instance.port, instance.answered, state, load * 1000)


def _show_address(listening: Listening) -> str:
    return f"{listening.host}:{listening.port}"
