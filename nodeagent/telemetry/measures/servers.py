"""Listeners, and the errors that routers make."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import TypeAlias

from nodeagent.telemetry.measures.measure import Measure, Shown, counter, gauge
from nodeagent.telemetry.stats import ServerStats, status_classes

LABELS = ("router", "server")

Rows: TypeAlias = list[tuple[tuple[str, str], ServerStats]]


def measures(shown: Shown) -> Iterator[Measure]:
    """What came in, and what of it the agent answered itself."""
    rows = [((server.router, server.address), server) for server in shown.registry.servers()]
    yield from _requests(rows)
    yield from _handshakes(rows)
    yield from _room(rows)
    yield counter(
        "errors",
        "Error responses made by the agent itself, by Proxy-Status error type.",
        ("router", "error"),
        [
            ((router, error), count)
            for router, errors in shown.registry.errors_by_router().items()
            for error, count in errors.items()
        ],
    )


def _requests(rows: Rows) -> Iterator[Measure]:
    yield counter(
        "server_requests",
        "Requests answered by a listener, by class of the response status.",
        (*LABELS, "status_class"),
        [((*key, name), count) for key, server in rows for name, count in status_classes(server.statuses).items()],
    )
    yield gauge(
        "server_connections",
        "Connections open to a listener.",
        LABELS,
        [(key, server.connections) for key, server in rows],
    )
    yield counter(
        "server_connects",
        "Connections accepted by a listener.",
        LABELS,
        [(key, server.connects) for key, server in rows],
    )
    yield counter(
        "server_proxy_header_errors",
        "Connections closed because they did not begin with a valid PROXY header (proxyProtocol of a server).",
        LABELS,
        [(key, server.proxy_header_errors) for key, server in rows],
    )


def _handshakes(rows: Rows) -> Iterator[Measure]:
    yield counter(
        "server_tls_handshakes",
        "TLS handshakes of callers that succeeded, by version.",
        (*LABELS, "version"),
        [((*key, version), count) for key, server in rows for version, count in server.tls_handshakes.items()],
    )
    yield counter(
        "server_tls_failures",
        "TLS handshakes of callers that failed, by reason.",
        (*LABELS, "reason"),
        [((*key, reason), count) for key, server in rows for reason, count in server.tls_failures.items()],
    )
    yield gauge(
        "server_tls_handshaking",
        "TLS handshakes of callers under way.",
        LABELS,
        [(key, server.tls_handshaking) for key, server in rows],
    )


def _room(rows: Rows) -> Iterator[Measure]:
    yield gauge(
        "server_connections_limit",
        "Connections of callers for which there is room: by maxConnections, and by the descriptors of the process.",
        LABELS,
        [(key, server.connections_limit) for key, server in rows if 0 < server.connections_limit < inf],
    )
    yield counter(
        "server_connections_refused",
        "Connections closed as they were accepted: there was no room, and their caller had its part.",
        LABELS,
        [(key, server.connections_refused) for key, server in rows],
    )
    yield counter(
        "server_connections_denied",
        "Connections closed because of who has opened them (callers of a server).",
        LABELS,
        [(key, server.connections_denied) for key, server in rows],
    )
    yield counter(
        "server_connections_evicted",
        "Connections closed while they idled, to make room.",
        LABELS,
        [(key, server.connections_evicted) for key, server in rows],
    )
