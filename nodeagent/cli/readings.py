"""The numbers of a running agent, as its pages have them, and what two readings of them say. Pure.

What is counted is effective for a service, one for each request, and actual for a client, one for each attempt. Rates
and success are of the time between two readings; latencies are linkerd's, over the last minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Key: TypeAlias = tuple[str, str]
"""A router, and a logical or a concrete name."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one name has counted so far; latencies in milliseconds, None without a request in the last minute."""

    requests: int = 0
    success: int = 0
    retries: int = 0
    p50: float | None = None
    p99: float | None = None
    pending: int = 0
    budget: int = 0
    """Retries that could be paid for now."""
    connections: int = 0


@dataclass(frozen=True, slots=True)
class EndpointState:
    """An endpoint as a router's balancer has it; `load` in the unit of that."""

    endpoint: str
    health: str
    pending: int
    load: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """All at one moment, in seconds of some clock."""

    at: float
    services: Mapping[Key, Counted]
    clients: Mapping[Key, Counted]
    endpoints: Mapping[Key, tuple[EndpointState, ...]]
    """By client."""


@dataclass(frozen=True, slots=True)
class Row:
    """A service or a client; rates are per second, `success` is a fraction, None where nothing was asked."""

    router: str
    name: str
    rate: float
    success: float | None
    p50: float | None
    p99: float | None
    attempts: float
    """Of a service: its requests with all their retries."""
    failures: float
    pending: int
    budget: int
    connections: int
    endpoints: tuple[EndpointState, ...] = ()


def reading(at: float, metrics: Any, state: Any) -> Reading:
    """Take what is needed out of `/admin/metrics.json?tree=1` and `/client_state.json`.

    Raises LookupError, TypeError, ValueError or AttributeError when they are not such documents.
    """
    routers = metrics.get("rt", {})
    return Reading(
        at,
        {(router, f"/{name}"): _counted(node) for router, name, node in _below(routers, "service")},
        {(router, f"/{name}"): _counted(node) for router, name, node in _below(routers, "client")},
        {
            (router, name): tuple(map(_endpoint, balancing["endpoints"]))
            for name, known in state.items()
            for router, balancing in known["routers"].items()
        },
    )


def rows(before: Reading, now: Reading) -> tuple[list[Row], list[Row]]:
    """Return the services and the clients, with what happened between the readings, by router and name."""
    seconds = now.at - before.at
    return (
        [_row(key, before.services.get(key), now.services[key], seconds) for key in sorted(now.services)],
        [
            _row(key, before.clients.get(key), now.clients[key], seconds, now.endpoints.get(key, ()))
            for key in sorted(now.clients)
        ],
    )


def chosen(found: Iterable[Row], router: str | None, names: Sequence[str]) -> list[Row]:
    """Those of a router, and with one of these texts in their name; without any, all."""
    wanted = [name.lower() for name in names]
    return [
        row
        for row in found
        if router in (None, row.router) and (not wanted or any(text in row.name.lower() for text in wanted))
    ]


def _below(routers: Any, kind: str) -> Iterator[tuple[str, str, Any]]:
    for router, kinds in routers.items():
        for name, node in kinds.get(kind, {}).items():
            yield router, name, node


def _counted(node: Any) -> Counted:
    latency, retries = node["request_latency_ms"], node["retries"]
    return Counted(
        requests=node["requests"]["counter"],
        success=node["success"]["counter"],
        retries=retries["total"]["counter"] if "total" in retries else 0,
        p50=latency.get("stat.p50"),
        p99=latency.get("stat.p99"),
        pending=int(node["pending"]["gauge"]),
        budget=int(retries["budget"]["gauge"]),
        connections=int(node["connections"]["gauge"]) if "connections" in node else 0,
    )


def _endpoint(node: Any) -> EndpointState:
    return EndpointState(node["endpoint"], node["health"], node["pending"], float(node["load"]), node.get("error"))


def _row(
    key: Key, before: Counted | None, now: Counted, seconds: float, endpoints: tuple[EndpointState, ...] = ()
) -> Row:
    if before is None or now.requests < before.requests:  # it is new, or the agent began again
        before = Counted()
    requests, success = now.requests - before.requests, now.success - before.success
    retries = now.retries - before.retries
    return Row(
        *key,
        rate=requests / seconds,
        success=success / requests if requests else None,
        p50=now.p50,
        p99=now.p99,
        attempts=(requests + retries) / seconds,
        failures=(requests - success) / seconds,
        pending=now.pending,
        budget=now.budget,
        connections=now.connections,
        endpoints=endpoints,
    )
