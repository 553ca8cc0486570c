"""`/admin/metrics.json` of linkerd 1.x, so that its dashboards and scripts go on working.

Three forms, as in linkerd's AdminMetricsExportTelemeter: flat (`"rt/out/service/svc/web/requests": 3`), nested
(`{"requests": {"counter": 3}}`), and either one below a scope, with names relative to it. Counters and gauges are live,
distributions cover the last minute.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TypeAlias

from nodeagent.telemetry.linkerd_names import Counter, Gauge, Metric, Stat, metrics
from nodeagent.telemetry.registry import Registry

Tree: TypeAlias = "dict[str, Tree | int | float]"


class UnknownSubtreeError(KeyError):
    """Nothing stands under the asked scope."""


def flat(registry: Registry, q: str = "") -> dict[str, int | float]:
    """All metrics by their full name, or those below the scope `q`, by their name from there.

    Raises UnknownSubtreeError when `q` names no scope and no metric.
    """
    found: dict[str, int | float] = {}
    for metric in _select(registry, q):
        name = "/".join(metric.path)
        match metric.value:
            case Counter(number) | Gauge(number):
                found[name] = number
            case stat:
                found |= {f"{name}.{field}": value for field, value in summary(stat).items()}
    return found


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
        match metric.value:
            case Counter(count):
                node["counter"] = count
            case Gauge(value):
                node["gauge"] = value
            case stat:
                node |= {f"stat.{field}": value for field, value in summary(stat).items()}
    return root


def summary(stat: Stat) -> dict[str, int | float]:
    """Return the last minute of a distribution; of one without observations linkerd shows the count alone."""
    found = stat.observed.window().summary()
    if found is None:
        return {"count": 0}
    return {field: round(value * stat.factor, 3) for field, value in asdict(found).items()} | {"count": found.count}


def _select(registry: Registry, q: str) -> list[Metric]:
    scope = q.strip("/")
    everything = list(metrics(registry))
    if not scope:
        return everything
    below = [(metric, _relative(metric.path, scope)) for metric in everything]
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
