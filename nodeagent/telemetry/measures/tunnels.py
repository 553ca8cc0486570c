"""What passes through besides requests."""

from __future__ import annotations

from collections.abc import Iterator

from nodeagent.telemetry.measures.measure import Measure, Shown, counter, gauge


def measures(shown: Shown) -> Iterator[Measure]:
    """What went through tunnels, and how many are open."""
    tunnels = shown.registry.tunnels_by_router()
    yield counter(
        "tunnel_bytes",
        "Bytes through tunnels (CONNECT, and connections of tcp routers), by direction; sent: to the endpoint.",
        ("router", "direction"),
        [
            ((each.router, direction), count)
            for each in tunnels
            for direction, count in (("sent", each.sent), ("received", each.received))
        ],
    )
    yield gauge(
        "tunnels",
        "Tunnels (CONNECT, and connections of tcp routers) that are open.",
        ("router",),
        [((each.router,), each.open) for each in tunnels],
    )
