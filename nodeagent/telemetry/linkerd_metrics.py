"""`/admin/metrics.json` under the names of linkerd 1.x, so that its dashboards and scripts go on working.

A metric's place is a path of scopes; a name such as `svc/web` is one scope, slashes and all. Three forms, as
in linkerd's AdminMetricsExportTelemeter: flat (`"rt/out/service/svc/web/requests": 3`), nested (`{"requests":
{"counter": 3}}`), and either one below a scope, with names relative to it. Counters and gauges are live,
distributions cover the last minute and are in milliseconds. What linkerd lists and the agent does not keep is
absent, not zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TypeAlias

from balancer.statistics import BalancerStatistics
from nodeagent.telemetry.histogram import Summary
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import ClientStats, ServerStats, ServiceStats

Tree: TypeAlias = "dict[str, Tree | int | float]"


@dataclass(frozen=True, slots=True)
class _Metric:
    """`values` has one entry, `counter` or `gauge`; or one for each field of a distribution, `stat.p50`."""

    path: tuple[str, ...]
    kind: str
    values: Mapping[str, int | float]


class UnknownSubtreeError(KeyError):
    """Nothing stands under the asked scope."""


def flat(registry: Registry, q: str = "") -> dict[str, int | float]:
    """All metrics by their full name, or those below the scope `q`, by their name from there.

    Raises UnknownSubtreeError when `q` names no scope and no metric.
    """
    return {
        "/".join(metric.path) + ("." + field if metric.kind == "stat" else ""): value
        for metric in _select(registry, q)
        for field, value in metric.values.items()
    }


def tree(registry: Registry, q: str = "") -> Tree:
    """The same as nested objects, a level for each scope.

    Raises UnknownSubtreeError when `q` names no scope and no metric.
    """
    root: Tree = {}
    for metric in _select(registry, q):
        node = root
        for scope in metric.path:
            child = node.setdefault(scope, {})
            assert isinstance(child, dict), "scopes and kinds of metrics do not share names"
            node = child
        for field, value in metric.values.items():
            node[f"stat.{field}" if metric.kind == "stat" else field] = value
    return root


def _select(registry: Registry, q: str) -> list[_Metric]:
    scope = q.strip("/")
    metrics = list(_all(registry))
    if not scope:
        return metrics
    below = [(metric, _relative(metric.path, scope)) for metric in metrics]
    found = [replace(metric, path=path) for metric, path in below if path is not None]
    if not found:
        raise UnknownSubtreeError(q)
    return found


def _relative(path: tuple[str, ...], scope: str) -> tuple[str, ...] | None:
    """What of `path` comes after `scope`, or None when it is not below it."""
    for index, part in enumerate(path):
        if scope == part:
            return path[index + 1 :]
        if not scope.startswith(part + "/"):
            return None
        scope = scope[len(part) + 1 :]
    return None


def _all(registry: Registry) -> Iterator[_Metric]:
    for server in registry.servers():
        yield from _server(server)
    for service in registry.services.series():
        yield from _service(service)
    for client in registry.clients.series():
        yield from _client(client)
    for router in sorted(registry.originators):
        yield _gauge(("rt", router), "originator", 1)
    for namer in registry.namers():
        scope = ("namer", _stripped(namer.prefix))
        yield _counter(scope, "updates", namer.updates)
        yield _counter(scope, "errors", namer.errors)


def _server(server: ServerStats) -> Iterator[_Metric]:
    scope = ("rt", server.router, "server", server.place)
    yield _counter(scope, "requests", sum(server.statuses))
    yield _counter(scope, "success", server.success)
    yield _counter(scope, "failures", server.failure)
    yield _gauge(scope, "connections", server.connections)
    yield _counter(scope, "connects", server.connects)
    for name, count in server.status_classes().items():
        yield _counter((*scope, "status"), name, count)


def _service(service: ServiceStats) -> Iterator[_Metric]:
    scope = ("rt", service.router, "service", _stripped(service.name))
    yield from _basics(scope, service)
    retries = (*scope, "retries")
    yield _counter(retries, "total", service.retries.total())
    yield _stat(retries, "per_request", service.retries_window().summary(), 1.0)
    yield _gauge(retries, "budget", service.retry_budget())
    yield _counter(retries, "budget_exhausted", service.budget_exhausted)


def _client(client: ClientStats) -> Iterator[_Metric]:
    scope = ("rt", client.router, "client", _stripped(client.name))
    yield from _basics(scope, client)
    for reason, count in client.connect_failures.items():
        yield _counter((*scope, "failures"), reason, count)
    yield _gauge(scope, "connections", client.connections)
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


def _balancers(scope: tuple[str, ...], balancers: Sequence[BalancerStatistics]) -> Iterator[_Metric]:
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


def _basics(scope: tuple[str, ...], stats: ServiceStats | ClientStats) -> Iterator[_Metric]:
    yield _counter(scope, "requests", stats.success + stats.failure)
    yield _counter(scope, "success", stats.success)
    yield _counter(scope, "failures", stats.failure)
    yield _gauge(scope, "pending", stats.pending)
    yield _stat(scope, "request_latency_ms", stats.duration.window().summary(), 1000.0)


def _counter(scope: tuple[str, ...], name: str, count: int) -> _Metric:
    return _Metric((*scope, name), "counter", {"counter": count})


def _gauge(scope: tuple[str, ...], name: str, value: float) -> _Metric:
    return _Metric((*scope, name), "gauge", {"gauge": float(value)})


def _stat(scope: tuple[str, ...], name: str, summary: Summary | None, factor: float) -> _Metric:
    """A distribution in units of 1/factor; of one without observations linkerd shows the count alone."""
    values: dict[str, int | float] = {"count": 0}
    if summary is not None:
        values = {field: round(value * factor, 3) for field, value in asdict(summary).items()}
        values["count"] = summary.count
    return _Metric((*scope, name), "stat", values)


def _stripped(name: str) -> str:
    return name.removeprefix("/")
