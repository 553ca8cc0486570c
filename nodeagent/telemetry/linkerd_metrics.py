"""`/admin/metrics.json` of linkerd 1.x, so that its dashboards and scripts go on working.

Three forms, as in linkerd's AdminMetricsExportTelemeter: flat (`"rt/out/service/svc/web/requests": 3`), nested
(`{"requests": {"counter": 3}}`), and either one below a scope, with names relative to it. Counters and gauges are live,
distributions cover the last minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TypeAlias

from nodeagent.telemetry.linkerd_names import Counter, Gauge, Metric, Stat, parts
from nodeagent.telemetry.registry import Registry

Tree: TypeAlias = "dict[str, Tree | int | float]"


class UnknownSubtreeError(KeyError):
    """Nothing stands under the asked scope."""


def flat(registry: Registry, q: str = "") -> dict[str, int | float]:
    """All metrics by their full name, or those below the scope `q`, by their name from there.

    Raises UnknownSubtreeError when `q` names no scope and no metric.
    """
    found: dict[str, int | float] = {}
    for _ in fill_flat(found, registry, q):
        pass
    return found


def tree(registry: Registry, q: str = "") -> Tree:
    """The same as nested objects, a level for each scope.

    Raises UnknownSubtreeError when `q` names no scope and no metric.
    """
    root: Tree = {}
    for _ in fill_tree(root, registry, q):
        pass
    return root


def fill_flat(found: dict[str, int | float], registry: Registry, q: str = "") -> Iterator[None]:
    """As `flat`, into `found`, a name at a time: there may be a thousand, and others may want their turn."""
    for below in _select(registry, q):
        for metric in below:
            name = "/".join(metric.path)
            match metric.value:
                case Counter(number) | Gauge(number):
                    found[name] = number
                case stat:
                    found |= {f"{name}.{field}": value for field, value in summary(stat).items()}
        yield


def fill_tree(root: Tree, registry: Registry, q: str = "") -> Iterator[None]:
    """As `tree`, into `root`, a name at a time."""
    for below in _select(registry, q):
        for metric in below:
            _hang(root, metric)
        yield


def _hang(root: Tree, metric: Metric) -> None:
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


def summary(stat: Stat) -> dict[str, int | float]:
    """Return the last minute of a distribution; of one without observations linkerd shows the count alone."""
    found = stat.observed.window().summary()
    if found is None:
        return {"count": 0}
    return {field: round(value * stat.factor, 3) for field, value in asdict(found).items()} | {"count": found.count}


def _select(registry: Registry, q: str) -> Iterator[list[Metric]]:
    """What is below a scope, a part at a time."""
    scope = q.strip("/")
    known = not scope
    for part in parts(registry):
        if not scope:
            yield list(part())
            continue
        below = [(metric, _relative(metric.path, scope)) for metric in part()]
        found = [replace(metric, path=path) for metric, path in below if path is not None]
        known = known or bool(found)
        yield found
    if not known:
        raise UnknownSubtreeError(q)


def _relative(path: tuple[str, ...], scope: str) -> tuple[str, ...] | None:
    """What of `path` comes after `scope`, or None when it is not below it."""
    for index, part in enumerate(path):
        if scope == part:
            return path[index + 1 :]
        if not scope.startswith(part + "/"):
            return None
        scope = scope[len(part) + 1 :]
    return None
