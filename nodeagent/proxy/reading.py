"""What a client's balancer, budget and pools show to telemetry. Pure."""

from __future__ import annotations

from balancer.balancer import Balancer
from nodeagent.proxy.room import requests_waiting
from nodeagent.telemetry.stats import BalancerReading


def reading_of(balancer: Balancer, *, policy: str, when_all_dead: str, requeue_budget: int) -> BalancerReading:
    """Return how `balancer` stands. `policy` is its failure accrual's kind, `when_all_dead` what that key says."""
    now = balancer.statistics()
    return BalancerReading(
        alive=now.alive,
        dead=now.dead,
        probing=now.probing,
        ejections=now.ejections,
        policy=policy,
        refusals=now.refusals,
        asked=now.asked,
        check_outs=now.check_outs,
        revivals=now.revivals,
        probes=now.probes,
        adds=now.adds,
        removes=now.removes,
        max_effort_exhausted=now.max_effort_exhausted,
        all_dead=now.all_dead,
        when_all_dead=when_all_dead,
        local_share=now.local_share,
        requeue_budget=requeue_budget,
        waiting=requests_waiting(balancer.nodes),
    )
