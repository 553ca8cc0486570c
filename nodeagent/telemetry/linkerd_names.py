"""What is counted, under the names of linkerd 1.x, for all who write in them: metrics.json, StatsD and InfluxDB.

A metric's place is a path of scopes; a name such as `svc/web` is one scope, slashes and all. Distributions are in
milliseconds. What linkerd lists and the agent does not keep is absent, not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

from balancer.statistics import BalancerStatistics
from nodeagent.telemetry.histogram import Snapshot
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import ClientStats, NamerStats, ServerStats, ServiceStats, status_classes


class Distribution(Protocol):
    """What was observed, in all and lately."""

    def snapshot(self) -> Snapshot:
        """All of it, since it began."""

    def window(self) -> Snapshot:
        """What came within the last minute."""


@dataclass(frozen=True, slots=True)
class Counter:
    """What only grows."""

    count: int


@dataclass(frozen=True, slots=True)
class Gauge:
    """What goes up and down."""

    value: float


@dataclass(frozen=True, slots=True)
class Stat:
    """A distribution, of which linkerd's unit is 1/factor of ours."""

    observed: Distribution
    factor: float


@dataclass(frozen=True, slots=True)
class Metric:
    """One number, or one distribution, and its scopes."""

    path: tuple[str, ...]
    value: Counter | Gauge | Stat


Part: TypeAlias = Callable[[], Iterator[Metric]]


def metrics(registry: Registry) -> Iterator[Metric]:
    """All of them, as they are now. Read them at once."""
    for part in parts(registry):
        yield from part()


def parts(registry: Registry) -> list[Part]:
    """Return the same, a part for each listener, name and namer, which may be read one by one."""
    return [
        *(partial(_server, each) for each in registry.servers()),
        *(partial(_service, each) for each in registry.services.series()),
        *(partial(_client, each) for each in registry.clients.series()),
        partial(_originators, sorted(registry.originators)),
        *(partial(_namer, each) for each in registry.namers()),
    ]


def _originators(routers: Sequence[str]) -> Iterator[Metric]:
    for router in routers:
        yield _gauge(("rt", router), "originator", 1)


def _namer(namer: NamerStats) -> Iterator[Metric]:
    scope = ("namer", _stripped(namer.prefix))
    yield _counter(scope, "updates", namer.updates)
    yield _counter(scope, "errors", namer.errors)


def _server(server: ServerStats) -> Iterator[Metric]:
    scope = ("rt", server.router, "server", server.place)
    yield _counter(scope, "requests", sum(server.statuses))
    yield _counter(scope, "success", server.success)
    yield _counter(scope, "failures", server.failure)
    yield _gauge(scope, "pending", server.pending)
    yield _gauge(scope, "connections", server.connections)
    yield _counter(scope, "connects", server.connects)
    for name, count in status_classes(server.statuses).items():
        yield _counter((*scope, "status"), name, count)


def _service(service: ServiceStats) -> Iterator[Metric]:
    scope = ("rt", service.router, "service", _stripped(service.name))
    yield from _basics(scope, service)
    retries = (*scope, "retries")
    yield _counter(retries, "total", service.retries.total())
    yield _stat(retries, "per_request", service.retries_of_all(), 1.0)
    yield _gauge(retries, "budget", service.retry_budget())
    yield _counter(retries, "budget_exhausted", service.budget_exhausted)


def _client(client: ClientStats) -> Iterator[Metric]:
    scope = ("rt", client.router, "client", _stripped(client.name))
    yield from _basics(scope, client)
    for reason, count in client.connect_failures.items():
        yield _counter((*scope, "failures"), reason, count)
    for name, count in status_classes(client.statuses).items():
        yield _counter((*scope, "status"), name, count)
    yield _gauge(scope, "connections", client.connections)
    yield _counter(scope, "connects", client.connects)
    readings = client.balancers()
    yield _gauge(scope, "pool_waiters", sum(reading.waiting for reading in readings))
    yield _counter(scope, "pool_num_too_many_waiters", client.rejected["queue_full"])
    retries = (*scope, "retries")
    yield _counter(retries, "requeues", client.requeues)
    yield _gauge(retries, "budget", sum(reading.requeue_budget for reading in readings))
    yield _counter(retries, "budget_exhausted", client.requeue_budget_exhausted)
    yield _counter(retries, "request_limit", client.requeue_limits)
    yield from _balancers(scope, [reading.balancer for reading in readings])


def _removals(each: BalancerStatistics) -> int:
    return each.ejections + each.refusals + each.asked + each.check_outs


def _balancers(scope: tuple[str, ...], balancers: Sequence[BalancerStatistics]) -> Iterator[Metric]:
    accrual, balancer = (*scope, "failure_accrual"), (*scope, "loadbalancer")
    yield _counter(accrual, "removals", sum(map(_removals, balancers)))
    yield _counter(accrual, "revivals", sum(each.revivals for each in balancers))
    yield _counter(accrual, "probes", sum(each.probes for each in balancers))
    alive = sum(each.alive for each in balancers)
    unavailable = sum(each.dead + each.probing for each in balancers)
    yield _gauge(balancer, "size", alive + unavailable)
    yield _gauge(balancer, "available", alive)
    # finagle's status Busy: marked dead, or waiting for the outcome of a probe.
    yield _gauge(balancer, "busy", unavailable)
    yield _counter(balancer, "adds", sum(each.adds for each in balancers))
    yield _counter(balancer, "removes", sum(each.removes for each in balancers))
    yield _counter(balancer, "max_effort_exhausted", sum(each.max_effort_exhausted for each in balancers))


def _basics(scope: tuple[str, ...], stats: ServiceStats | ClientStats) -> Iterator[Metric]:
    yield _counter(scope, "requests", stats.success + stats.failure)
    yield _counter(scope, "success", stats.success)
    yield _counter(scope, "failures", stats.failure)
    yield _gauge(scope, "pending", stats.pending)
    yield _stat(scope, "request_latency_ms", stats.duration, 1000.0)


def _counter(scope: tuple[str, ...], name: str, count: int) -> Metric:
    return Metric((*scope, name), Counter(count))


def _gauge(scope: tuple[str, ...], name: str, value: float) -> Metric:
    return Metric((*scope, name), Gauge(float(value)))


def _stat(scope: tuple[str, ...], name: str, observed: Distribution, factor: float) -> Metric:
    return Metric((*scope, name), Stat(observed, factor))


def _stripped(name: str) -> str:
    return name.removeprefix("/")
