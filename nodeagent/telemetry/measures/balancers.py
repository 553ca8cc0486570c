"""The endpoints of concrete names, as their balancers see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from nodeagent.telemetry.measures.measure import Measure, Row, Shown, counter, gauge

_EXTRA = ("failFast", "retryAfter", "healthCheck")
"""Reasons to take out an endpoint besides the failure accrual policy; shown where they ever were one."""


def measures(shown: Shown) -> Iterator[Measure]:
    """Who gets traffic, and who was taken out."""
    rows = [((client.router, client.name), client) for client in shown.clients]
    endpoints: list[Row] = []
    ejections: list[Row] = []
    all_dead: list[Row] = []
    shares: list[Row] = []
    for key, client in rows:
        readings = client.balancers()
        balancers = [reading.balancer for reading in readings]
        endpoints += [
            ((*key, "alive"), sum(each.alive for each in balancers)),
            ((*key, "dead"), sum(each.dead for each in balancers)),
            ((*key, "probing"), sum(each.probing for each in balancers)),
        ]
        shares += [(key, each.local_share) for each in balancers[-1:] if each.local_share is not None]
        by_policy: Counter[str] = Counter()
        dead: dict[str, bool] = {}
        for reading in readings:
            by_policy[reading.policy] += reading.balancer.ejections
            by_policy["failFast"] += reading.balancer.refusals
            by_policy["retryAfter"] += reading.balancer.asked
            by_policy["healthCheck"] += reading.balancer.check_outs
            dead[reading.when_all_dead] = dead.get(reading.when_all_dead, False) or reading.balancer.all_dead
        all_dead += [((*key, policy), value) for policy, value in dead.items()]
        ejections += [((*key, policy), count) for policy, count in by_policy.items() if count or policy not in _EXTRA]
    yield gauge(
        "balancer_endpoints",
        "Endpoints of a concrete name, by health.",
        ("router", "client", "state"),
        endpoints,
    )
    yield counter(
        "balancer_ejections",
        "Times an endpoint was taken out of the rotation, by failure accrual policy; failFast: it refused; retryAfter: "
        "it asked for it; healthCheck: it failed its active health checks.",
        ("router", "client", "policy"),
        ejections,
    )
    yield gauge(
        "balancer_all_dead",
        "1 while no endpoint of a concrete name (of other: of one of them) is alive; policy is what happens then: "
        "tryAll, lastGood, failFast.",
        ("router", "client", "policy"),
        all_dead,
    )
    yield counter(
        "balancer_checks",
        "Active health checks of endpoints, by result.",
        ("router", "client", "result"),
        [((*key, result), count) for key, client in rows for result, count in client.checks.items()],
    )
    yield gauge(
        "balancer_local_share",
        "The part of the traffic of a concrete name that stays in the preferred zone, 0 to 1.",
        ("router", "client"),
        shares,
    )
