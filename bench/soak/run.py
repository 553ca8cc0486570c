"""One soak: the agent alone on its core, everything else on the other."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from sys import executable

import trio

from bench import load
from bench.load import WORKLOADS, Workload
from bench.peers import AGENT, Site
from bench.processes import free_ports
from bench.soak import callers, churn, endpoints, verdict
from bench.soak.attribution import Ledger, Seen
from bench.soak.callers import Target
from bench.soak.verdict import Finding, Sample
from bench.soak.watched import __name__ as watched
from bench.soak.watched import read
from bench.stage import Ground, Started, started

CAPACITY_SECONDS = 5
SEGMENT_SECONDS = 10
"""The steady load is of segments: its connections come and go, too."""
CONNECTIONS = 32
SAMPLE_EVERY = 1.0
SAY_EVERY = 10
FORGET_SECONDS = 10
"""After what time the agent lets go of names and connections that nobody uses: short, so that it does during a soak."""
ODD_PORTS = 8

_ROUTER = f"""\
  bindingCache: {{idleTtlSecs: {FORGET_SECONDS}}}
  client:
    hostConnectionPool: {{idleTimeMs: {FORGET_SECONDS * 1000}}}
"""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do to the agent, in seconds; *rate* is that of the steady load, None is half of what the agent can do.

    *rest* lies before the load, *give_back* is how long everything may take to be given back after it: a watch of
    discovery goes on for half a minute without a reader.
    """

    seconds: float
    rate: int | None = None
    workers: int = 24
    rest: float = 2.0 * FORGET_SECONDS
    give_back: float = 120.0


@dataclass(frozen=True, slots=True)
class Result:
    """What a soak showed."""

    samples: Sequence[Sample]
    ledger: Ledger
    findings: Sequence[Finding]


async def soak(ground: Ground, plan: Plan, say: Say) -> Result:
    """Do to the agent what is planned. Raises BenchError, also in a group, when a part of it cannot be started."""
    directory = Path(tempfile.mkdtemp(dir=ground.directory, prefix="agent"))
    disco, watch = directory / "disco", directory / "watch"
    disco.mkdir()
    backends = churn.Backends(ground, "web", disco)
    try:
        backends.fill()
        async with trio.open_nursery() as background:
            listeners = [await trio.open_tcp_listeners(0, host="127.0.0.1") for _ in range(ODD_PORTS)]
            for each in listeners:
                background.start_soon(trio.serve_listeners, endpoints.serve, each)
            fragile, *ports = [each[0].socket.getsockname()[1] for each in listeners]
            churn.write(disco, "fragile", [fragile])
            names = churn.Names(disco, ports, random.Random(1))
            port, admin_port = free_ports(2)
            agent = replace(
                AGENT,
                find=lambda: (executable, "-m", watched, str(watch)),
                files=lambda site: {"agent.yaml": AGENT.files(site)["agent.yaml"] + _ROUTER},
            )
            with started(agent, Site(directory, port, admin_port, ()), core=ground.proxy_core) as it:
                run = _Run(ground, it, Target(port, names.known, names.unknown, "fragile", "web:80"), watch, say)
                result = await run.all(plan, names, backends)
            background.cancel_scope.cancel()
    finally:
        backends.stop()
    return result


class _Run:
    """The agent, and what was seen of it."""

    def __init__(self, ground: Ground, agent: Started, target: Target, watch: Path, say: Say) -> None:
        self._ground = ground
        self._agent = agent
        self._target = target
        self._watch = watch
        self._say = say
        self._began = trio.current_time()
        self.ledger = Ledger()
        self.samples: list[Sample] = []

    async def all(self, plan: Plan, names: churn.Names, backends: churn.Backends) -> Result:
        """Find out what the agent can do, let it rest, load it, let it rest."""
        rate = plan.rate
        if rate is None:
            result = await trio.to_thread.run_sync(self._load, WORKLOADS["small"], CAPACITY_SECONDS)
            rate = int(result.requests / result.seconds / 2)
            self._say(f"capacity {2 * rate:,} requests/s; the steady load is {rate:,}")
        await trio.sleep(plan.rest)
        before = await self._sample()
        self._say(f"before: {_show(before)}")
        self._began = trio.current_time()
        await self._churn(plan, rate, names, backends)
        self._say(
            f"{names.made:,} names came, {names.strangers:,} were unknown, {backends.started} backends were started"
        )
        after = await self._given_back(before, plan.give_back)
        self._say(f"after: {_show(after)}")
        findings = [
            verdict.memory(self.samples),
            *verdict.leaks(before, after),
            verdict.errors(self.ledger),
            verdict.complaints(self._agent.process.output()),
        ]
        return Result(self.samples, self.ledger, findings)

    async def _given_back(self, before: Sample, seconds: float) -> Sample:
        """The agent once it uses no more than *before*, or when it has had time enough."""
        until = trio.current_time() + seconds
        while True:
            sample = await self._sample()
            if trio.current_time() >= until or all(finding.well for finding in verdict.leaks(before, sample)):
                return sample
            await trio.sleep(SAMPLE_EVERY)

    async def _churn(self, plan: Plan, rate: int, names: churn.Names, backends: churn.Backends) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_agent)
            nursery.start_soon(churn.change_names, names)
            nursery.start_soon(backends.change)
            for number in range(plan.workers):
                nursery.start_soon(callers.work, self._target, self.ledger, random.Random(number))
            steady = Workload("/small", 0, connections=CONNECTIONS, rate=rate)
            while (left := plan.seconds - (trio.current_time() - self._began)) > 1.0:
                part = min(SEGMENT_SECONDS, int(left))
                result = await trio.to_thread.run_sync(self._load, steady, part)
                self.ledger.note("steady", Seen.OK, count=result.requests - result.errors)
                if result.errors:
                    self.ledger.note("steady", Seen.STATUS, f"{result.errors} of {result.requests}", result.errors)
            nursery.cancel_scope.cancel()

    def _load(self, workload: Workload, seconds: int) -> load.LoadResult:
        ground = self._ground
        return load.run(workload, self._agent.port, seconds, core=ground.load_core, directory=ground.directory)

    async def _watch_agent(self) -> None:
        while True:
            self.samples.append(await self._sample())
            if len(self.samples) % SAY_EVERY == 0:
                self._say(_show(self.samples[-1]))
            await trio.sleep(SAMPLE_EVERY)

    async def _sample(self) -> Sample:
        return await trio.to_thread.run_sync(partial(self._look, trio.current_time() - self._began))

    def _look(self, at: float) -> Sample:
        process = self._agent.process
        tasks, blocks, longest = read(self._watch.read_text() if self._watch.exists() else "")
        descriptors = sum(1 for pid in process.pids() for _ in Path(f"/proc/{pid}/fd").iterdir())
        return Sample(at, process.resident_bytes(), descriptors, tasks, blocks, longest)


def _show(sample: Sample) -> str:
    return (
        f"{sample.at:6.0f} s: {sample.resident / 1e6:6.1f} MB, {sample.blocks:,} blocks, "
        f"{sample.descriptors} descriptors, {sample.tasks} tasks, longest turn {sample.longest_turn * 1e3:.1f} ms"
    )
