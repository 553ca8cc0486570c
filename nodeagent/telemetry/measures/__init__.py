"""Every metric of the agent, one file a subject: what is counted, as rows under their names and labels."""

from __future__ import annotations

from collections.abc import Iterator

from nodeagent.telemetry.measures import (
    accesslogs,
    balancers,
    certificates,
    clients,
    limits,
    namers,
    policies,
    servers,
    services,
    traces,
    tunnels,
)
from nodeagent.telemetry.measures.measure import Measure, Shown
from nodeagent.telemetry.registry import Registry

SUBJECTS = (servers, services, clients, balancers, limits, tunnels, accesslogs, traces, certificates, policies, namers)


def measures(registry: Registry) -> Iterator[Measure]:
    """All of them, in the order of a page. Read it at once."""
    shown = Shown.of(registry)
    for subject in SUBJECTS:
        yield from subject.measures(shown)
