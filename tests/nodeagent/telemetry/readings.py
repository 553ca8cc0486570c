"""Readings of balancers that never were."""

from __future__ import annotations

from dataclasses import replace

from balancer.statistics import BalancerStatistics
from nodeagent.telemetry.stats import BalancerReading

EMPTY = BalancerStatistics(
    nodes=(),
    alive=0,
    dead=0,
    probing=0,
    priority=None,
    all_dead=False,
    local_share=None,
    ejections=0,
    refusals=0,
    asked=0,
    check_outs=0,
    revivals=0,
    probes=0,
    max_effort_exhausted=0,
    adds=0,
    removes=0,
)


def balancer_reading(
    alive: int,
    dead: int = 0,
    probing: int = 0,
    ejections: int = 0,
    policy: str = "none",
    *,
    requeue_budget: int = 0,
    waiting: int = 0,
    **more: object,
) -> BalancerReading:
    """Return the reading of a balancer with these endpoints; `more` are other fields of its statistics."""
    known = replace(EMPTY, alive=alive, dead=dead, probing=probing, ejections=ejections, **more)  # type: ignore[arg-type]
    return BalancerReading(known, policy, requeue_budget=requeue_budget, waiting=waiting)
