"""One metric with all its samples, as plain rows; `prometheus` lays them out.

Names are without `nodeagent_`, and those of counters without `_total`. A unit is the end of a name:
https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from nodeagent.telemetry.histogram import Histogram
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import ClientStats, ServiceStats

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Row: TypeAlias = "tuple[Sequence[str], float | Histogram]"
"""The values of the labels, and what was measured."""


class Measure(NamedTuple):
    """All samples of one metric. One without samples stands for a metric that there may be later."""

    kind: Kind
    name: str
    text: str
    labels: tuple[str, ...]
    rows: Sequence[Row]


def counter(name: str, text: str, labels: tuple[str, ...], rows: Iterable[Row]) -> Measure:
    """What only grows."""
    return Measure("counter", name, text, labels, tuple(rows))


def gauge(name: str, text: str, labels: tuple[str, ...], rows: Iterable[Row]) -> Measure:
    """What goes up and down."""
    return Measure("gauge", name, text, labels, tuple(rows))


def histogram(name: str, text: str, labels: tuple[str, ...], rows: Iterable[Row]) -> Measure:
    """How something is distributed."""
    return Measure("histogram", name, text, labels, tuple(rows))


class Shown(NamedTuple):
    """What is in a registry, read once for all metrics of a page, so that their numbers belong together."""

    registry: Registry
    services: tuple[ServiceStats, ...]
    clients: tuple[ClientStats, ...]

    @staticmethod
    def of(registry: Registry) -> Shown:
        """Read a registry now."""
        return Shown(registry, tuple(registry.services.series()), tuple(registry.clients.series()))


def classified(key: tuple[str, str], stats: ServiceStats | ClientStats) -> tuple[Row, Row]:
    """Return how many succeeded and how many failed, as two rows."""
    return ((*key, "success"), stats.success), ((*key, "failure"), stats.failure)


def from_zero(counted: Mapping[str, int], *usual: str) -> dict[str, int]:
    """Return what was counted, and 0 for usual reasons: a rate does not see the first of what begins at 1."""
    return {**dict.fromkeys(usual, 0), **counted}
