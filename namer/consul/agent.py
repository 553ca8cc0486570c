"""What the asked Consul agent says of itself: its datacenter and its domain, which make the names of its own DNS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import msgspec
import trio

from namer.cell import Cell
from namer.consul.api import FIRST_TIMEOUT, LOCAL, Consul
from namer.hosts import is_host
from namer.httpapi import ApiError
from namer.report import Report, Reporter


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent's own datacenter, and the domain of its DNS, without dots around it."""

    datacenter: str
    domain: str

    def authority(self, datacenter: str, service: str, tag: str | None) -> str | None:
        """What the service is called in Consul's DNS: `v2.users.service.dc1.consul`.

        None when that is no host name, because of what stands in its parts: it would not be fit for `Host`.
        """
        home = self.datacenter if datacenter == LOCAL else datacenter
        name = ".".join([*([tag] if tag else []), service, "service", home, self.domain])
        return name if is_host(name) else None


class _Config(msgspec.Struct, frozen=True, rename="pascal"):
    datacenter: str
    domain: str = "consul"  # where it stood before Consul 1.0


class _DebugConfig(msgspec.Struct, frozen=True):
    domain: str | None = msgspec.field(name="DNSDomain", default=None)


class _Self(msgspec.Struct, frozen=True, rename="pascal"):
    config: _Config
    debug_config: _DebugConfig = _DebugConfig()


async def follow_agent(consul: Consul, cell: Cell[Report[Agent]]) -> None:
    """Ask until there is an answer; it does not change while an agent runs. Cancelling is safe."""
    reporter = Reporter(cell, partial(consul.complaints.complain, "the agent itself"))
    failures = 0
    while True:
        try:
            reporter.holds(await _ask(consul))
        except ApiError as problem:
            delay = consul.retry_delay(failures)
            failures += 1
            reporter.doubtful(None, str(problem), trio.current_time() + delay)
            await trio.sleep(delay)
        else:
            return


async def _ask(consul: Consul) -> Agent:
    async with consul.session() as session:
        reply = await consul.call(session, "GET", "/v1/agent/self", {}, timeout=FIRST_TIMEOUT)
    said = reply.json(_Self)
    domain = said.debug_config.domain or said.config.domain
    return Agent(said.config.datacenter, domain.strip("."))
