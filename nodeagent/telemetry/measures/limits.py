"""What bounds are there, and how often they bit.

Each bound of the agent that refuses work shows here that it does, by reason; `errors` counts the answers (503,
`connection_limit_reached`), these say which bound made them.
"""

from __future__ import annotations

from collections.abc import Iterator

from nodeagent.telemetry.measures.measure import Measure, Shown, counter, gauge
from nodeagent.telemetry.stats import ClientStats


def measures(shown: Shown) -> Iterator[Measure]:
    """What was refused by a bound, and how near the bounds are."""
    clients, services, memory = shown.clients, shown.services, shown.registry.memory
    yield counter(
        "client_rejected",
        "Attempts that a full connection pool refused; queue_full: at once, queue_timeout: after maxWaitMs.",
        ("router", "client", "reason"),
        [((each.router, each.name, reason), count) for each in clients for reason, count in each.rejected.items()],
    )
    yield counter(
        "service_rejected",
        "Requests refused because concurrency has a limit; queue_full: at once, queue_timeout: after maxWaitMs.",
        ("router", "service", "reason"),
        [((each.router, each.name, reason), count) for each in services for reason, count in each.rejected.items()],
    )
    yield gauge(
        "client_waiting",
        "Requests that wait for a connection, because an endpoint's pool is full.",
        ("router", "client"),
        [((each.router, each.name), requests_waiting(each)) for each in clients],
    )
    yield gauge(
        "memory_limit_bytes",
        "Resident memory that the agent may take.",
        (),
        [] if memory.limit is None else [((), memory.limit)],
    )
    yield gauge(
        "memory_shedding",
        "Whether new requests are refused because memory is short; 0 or 1.",
        (),
        [((), memory.shedding)],
    )
    labels = ("router", "service")
    limited = [((each.router, each.name), each.concurrency()) for each in services if each.concurrency is not None]
    yield gauge(
        "service_concurrency_limit",
        "Requests to a logical name that may be under way at once.",
        labels,
        [(key, now.limit) for key, now in limited],
    )
    yield gauge(
        "service_concurrency",
        "Requests to a logical name that are under way, streams and tunnels included; where there is a limit.",
        labels,
        [(key, now.under_way) for key, now in limited],
    )
    yield gauge(
        "service_waiting",
        "Requests to a logical name that wait for one to end.",
        labels,
        [(key, now.waiting) for key, now in limited],
    )


def requests_waiting(client: ClientStats) -> int:
    """Return how many requests wait for a connection of a concrete name."""
    return sum(reading.waiting for reading in client.balancers())
