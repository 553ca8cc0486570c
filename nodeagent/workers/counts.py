"""What a worker has counted, as a message; and back into the objects that are shown. Pure.

Counters go through by the names that `nodeagent.telemetry.stats` gives them: what is counted there in an integer, a
Counter or a Histogram arrives, and nothing has to be added here when something more is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any, TypeAlias, TypeVar

import msgspec

from balancer.statistics import BalancerStatistics
from nodeagent.telemetry.histogram import Histogram
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import (
    BalancerReading,
    ClientStats,
    Concurrency,
    NamerStats,
    Series,
    ServerStats,
    ServiceStats,
)
from nodeagent.telemetry.tunnels import TunnelStats

Numbers: TypeAlias = dict[str, Any]
"""Counters and gauges by their names."""


class ServiceCounts(msgspec.Struct, array_like=True):
    """A logical name."""

    router: str
    name: str
    numbers: Numbers
    budget: float
    concurrency: tuple[int, int, int] | None


class ClientCounts(msgspec.Struct, array_like=True):
    """A concrete name, with what its balancers say: their endpoints are counted and not named."""

    router: str
    name: str
    numbers: Numbers
    readings: list[tuple[Numbers, str, str, int, int]]


class ServerCounts(msgspec.Struct, array_like=True):
    """A listener."""

    router: str
    ip: str
    port: int
    numbers: Numbers


class Counts(msgspec.Struct, tag=True):
    """All that a worker has counted."""

    services: list[ServiceCounts]
    clients: list[ClientCounts]
    servers: list[ServerCounts]
    namers: dict[str, Numbers]
    errors: dict[str, dict[str, int]]
    access_logs: dict[str, dict[str, int]]
    """By router: lines by what became of them."""
    policies: dict[str, dict[str, int]]
    """By router: requests by what its rules decided of them."""
    authorizers: dict[str, dict[str, int]]
    """By router: questions by what was answered, and microseconds."""
    tunnels: dict[str, tuple[int, int, int]]
    """By router: how many are open, bytes sent and received."""
    spans: dict[str, dict[str, int]]
    """By exporter: what became of its spans."""
    certificates: dict[str, float]
    """By file: when they expire."""
    memory_limit: int | None
    shedding: bool


def counts_of(registry: Registry) -> Counts:
    """Return what is in a registry now."""
    return Counts(
        [_service(each) for each in registry.services.series()],
        [_client(each) for each in registry.clients.series()],
        [ServerCounts(each.router, each.ip, each.port, _numbers(each)) for each in registry.servers()],
        {each.prefix: _numbers(each) for each in registry.namers()},
        {router: dict(errors) for router, errors in registry.errors_by_router().items()},
        {router: dict(lines) for router, lines in registry.access_logs_by_router().items()},
        {router: dict(decisions) for router, decisions in registry.policies_by_router().items()},
        {router: dict(answers) for router, answers in registry.authorizers_by_router().items()},
        {each.router: (each.open, each.sent, each.received) for each in registry.tunnels_by_router()},
        {exporter: dict(results) for exporter, results in registry.spans_by_exporter().items()},
        registry.survey_certificates(),
        registry.memory.limit,
        registry.memory.shedding,
    )


def services_in(counts: Counts) -> Iterator[ServiceStats]:
    """The logical names of a worker, with its gauges."""
    for each in counts.services:
        stats = _filled(ServiceStats(each.router, each.name), each.numbers)
        stats.readers.append(_always(each.budget))
        if each.concurrency is not None:
            stats.concurrency = _always(Concurrency(*each.concurrency))
        yield stats


def clients_in(counts: Counts) -> Iterator[ClientStats]:
    """The concrete names of a worker, with its gauges."""
    for each in counts.clients:
        stats = _filled(ClientStats(each.router, each.name), each.numbers)
        for balancer, policy, when_all_dead, budget, waiting in each.readings:
            statistics = BalancerStatistics(nodes=(), **balancer)
            stats.readers.append(_always(BalancerReading(statistics, policy, when_all_dead, budget, waiting)))
        yield stats


def servers_in(counts: Counts) -> Iterator[ServerStats]:
    """The listeners of a worker."""
    for each in counts.servers:
        yield _filled(ServerStats(each.router, each.ip, each.port), each.numbers)


def namers_in(counts: Counts) -> Iterator[NamerStats]:
    """The namers of a worker."""
    for prefix, numbers in counts.namers.items():
        yield _filled(NamerStats(prefix), numbers)


def tunnels_in(counts: Counts) -> Iterator[TunnelStats]:
    """The tunnels of a worker."""
    for router, (now, sent, received) in counts.tunnels.items():
        yield TunnelStats(router, open_elsewhere=now, sent=sent, received=received)


def joined(readings: list[BalancerReading]) -> BalancerReading:
    """Return what the balancers of several workers say of one concrete name; there is at least one.

    They balance over the same endpoints, so these are counted once: as whoever knows the most of them, and the fewest
    to be alive, sees them. What happened adds up.
    """
    views = [each.balancer for each in readings]
    view = max(views, key=lambda each: (each.alive + each.dead + each.probing, -each.alive))
    happened = {name: sum(getattr(each, name) for each in views) for name in _HAPPENED}
    return replace(
        readings[0],
        balancer=replace(view, **happened),
        requeue_budget=sum(each.requeue_budget for each in readings),
        waiting=sum(each.waiting for each in readings),
    )


_HAPPENED = (
    *("ejections", "refusals", "asked", "check_outs", "revivals", "probes"),
    *("max_effort_exhausted", "adds", "removes"),
)
_BALANCER = tuple(field.name for field in fields(BalancerStatistics) if field.name != "nodes")
_NOT_NUMBERS = frozenset({"router", "name", "readers", "concurrency", "ip", "port", "prefix"})

T = TypeVar("T")


def _service(stats: ServiceStats) -> ServiceCounts:
    now = None if stats.concurrency is None else stats.concurrency()
    concurrency = None if now is None else (now.limit, now.under_way, now.waiting)
    return ServiceCounts(stats.router, stats.name, _numbers(stats), stats.retry_budget(), concurrency)


def _client(stats: ClientStats) -> ClientCounts:
    readings = [
        (
            {name: getattr(each.balancer, name) for name in _BALANCER},
            each.policy,
            each.when_all_dead,
            each.requeue_budget,
            each.waiting,
        )
        for each in stats.balancers()
    ]
    return ClientCounts(stats.router, stats.name, _numbers(stats), readings)


def _names(stats: object) -> Iterator[str]:
    for kind in type(stats).__mro__:
        yield from (name for name in getattr(kind, "__slots__", ()) if name not in _NOT_NUMBERS)


def _numbers(stats: Series[Any] | ServerStats | NamerStats) -> Numbers:
    """What a message says of an object; what is zero is left out."""
    found = {}
    for name in _names(stats):
        value = getattr(stats, name)
        if isinstance(value, Histogram):
            value = value.state()
        if value:
            found[name] = value
    return found


def _filled(stats: T, numbers: Numbers) -> T:
    for name, value in numbers.items():
        current = getattr(stats, name)
        if isinstance(current, Histogram):
            current.restore(value)
        elif isinstance(current, Counter):
            current.update(value)
        else:
            setattr(stats, name, value)
    return stats


def _always(value: T) -> Callable[[], T]:
    return lambda: value
