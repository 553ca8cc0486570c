"""How the endpoints of a client are reached, where TLS is configured: counted, noted with each, told in the log."""

from __future__ import annotations

import structlog

from balancer.node import Node
from nodeagent.telemetry.exchange import Transport
from nodeagent.telemetry.stats import ClientStats

log = structlog.get_logger("nodeagent.transports")


class Transports:
    """Of one client."""

    __slots__ = ("_client", "_router", "_stats")

    def __init__(self, router: str, client: str, stats: ClientStats) -> None:
        self._router = router
        self._client = client
        self._stats = stats

    def heard(self, node: Node, transport: Transport) -> None:
        """Take note of a new connection. The log tells of it when the one before was made otherwise."""
        self._stats.transports[transport.kind] += 1
        shown = transport.show()
        if node.transport == shown:
            return
        node.transport = shown
        about = {"router": self._router, "client": self._client, "endpoint": node.endpoint.show()}
        if transport.why is not None:
            log.warning("an endpoint is called in plain", why=transport.why, **about)
        else:
            found = {"at": transport.address, "identity": transport.identity, "version": transport.version}
            log.info("an endpoint is called by TLS", transport=transport.kind, **found, **about)
