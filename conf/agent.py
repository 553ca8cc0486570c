"""The whole configuration of an agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Annotated

from msgspec import Meta, field

from conf.admin import Admin
from conf.dns import Dns
from conf.errors import KeyPath
from conf.fields import NOT_A_KEY, Count, Secret, about, one_of
from conf.identity import Identity
from conf.namers import AnyNamer
from conf.router import AnyRouter
from conf.section import Section
from conf.telemetry import AnyTelemeter, CommonMetrics


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the values of a configuration stand: the name of the text, and lines by key path.

    Configurations are compared by their values, wherever those came from.
    """

    origin: str = attribute(default="", compare=False)
    lines: Mapping[KeyPath, int] = attribute(default_factory=dict, compare=False)


class Usage(Section, frozen=True):
    """linkerd's report to its vendor. Here nothing is ever sent to anyone."""

    enabled: Annotated[
        bool, about("Accepted, without effect.", why="there is nothing to enable", like="linkerd 1.x: true")
    ] = False
    org_id: Annotated[Secret | None, about("Accepted, without effect.", unset="none")] = None


class AgentConfig(Section, frozen=True, kw_only=True):
    """The keys at the top of the file."""

    admin: Annotated[Admin, about("The administrative interface.")] = Admin()
    routers: Annotated[tuple[AnyRouter, ...], Meta(min_length=1), about("The routers.")]
    namers: Annotated[tuple[AnyNamer, ...], about("Service discovery; the last is asked first.")] = ()
    dns: Annotated[
        Dns, about("How host names are resolved.", why="as the host resolves them", like="linkerd 1.x: none")
    ] = Dns()
    identity: Annotated[
        Identity | None,
        about(
            "The certificate of this host, which the agent gets and renews itself.",
            why="most fleets bring their certificates by other means, if any",
            like="none",
            unset="files of certificates are somebody else's concern",
        ),
    ] = None
    telemetry: Annotated[tuple[AnyTelemeter, ...], about("Exporters of measurements.")] = ()
    memory_limit_mb: Annotated[
        Count | None,
        about(
            "Resident memory that the agent may take. From 90 % of it new requests are answered 503, from 95 % nobody "
            "is accepted, until it is below 85 %.",
            why="refusing some work is better than being killed with all of it",
            like="Envoy's overload manager; linkerd 1.x: the JVM's heap",
            unset="the limit of the agent's cgroup; no limit if that has none",
        ),
    ] = field(default=None, name="memoryLimitMB")
    workers: Annotated[
        int,
        Meta(ge=1, le=64),
        about(
            "Processes that serve the traffic, on the same ports. With more than one, a supervisor has the admin port, "
            "shows the whole, and replaces a worker that dies. Limits of requests, connections and memory are for the "
            "whole: each worker gets an equal part of them, and at least 1.",
            why="most hosts need less than one core for it, and what is in one process is simplest",
            like="nginx's `worker_processes`; linkerd 1.x: threads of one process, as many as there are cores",
        ),
    ] = 1
    log_level: Annotated[
        str,
        one_of("debug", "info", "warning", "error", "critical"),
        about(
            "How much is logged, from the start; `nodeagent run --log-level` goes before it. `POST /logging.json` on "
            "the admin port changes one part for a while.",
            why="a line for what an operator should know, none for a request",
            like="linkerd 1.x: -log.level on the command line",
        ),
    ] = "info"
    usage: Annotated[Usage, about("linkerd's report to its vendor; nothing is sent.")] = Usage()
    origins: Annotated[Origins, NOT_A_KEY] = Origins()

    @property
    def common_metrics(self) -> CommonMetrics:
        """What holds for all metrics."""
        return next((each for each in self.telemetry if isinstance(each, CommonMetrics)), CommonMetrics())
