"""What passes through besides requests: measurements for `prometheus`, as plain rows."""

from __future__ import annotations

import math
from collections.abc import Iterator

from nodeagent.telemetry.limits import Measure
from nodeagent.telemetry.registry import Registry


def counters(registry: Registry) -> Iterator[Measure]:
    """What went through tunnels, and who was not let in."""
    yield Measure(
        "tunnel_bytes",
        "Bytes through tunnels (CONNECT, and connections of tcp routers), by direction; sent: to the endpoint.",
        ("router", "direction"),
        [
            ((each.router, direction), count)
            for each in registry.tunnels_by_router()
            for direction, count in (("sent", each.sent), ("received", each.received))
        ],
    )
    yield Measure(
        "server_proxy_header_errors",
        "Connections closed because they did not begin with a valid PROXY header (proxyProtocol of a server).",
        ("router", "server"),
        [((each.router, each.address), each.proxy_header_errors) for each in registry.servers()],
    )
    yield Measure(
        "server_connections_refused",
        "Connections closed as they were accepted: there was no room, and their caller had its part.",
        ("router", "server"),
        [((each.router, each.address), each.connections_refused) for each in registry.servers()],
    )
    yield Measure(
        "server_connections_evicted",
        "Connections closed while they idled, to make room.",
        ("router", "server"),
        [((each.router, each.address), each.connections_evicted) for each in registry.servers()],
    )


def gauges(registry: Registry) -> Iterator[Measure]:
    """What is open."""
    yield Measure(
        "tunnels",
        "Tunnels (CONNECT, and connections of tcp routers) that are open.",
        ("router",),
        [((each.router,), each.open) for each in registry.tunnels_by_router()],
    )
    yield Measure(
        "server_connections_limit",
        "Connections of callers for which there is room: by maxConnections, and by the descriptors of the process.",
        ("router", "server"),
        [
            ((each.router, each.address), each.connections_limit)
            for each in registry.servers()
            if 0 < each.connections_limit < math.inf
        ],
    )
