"""Each bound shows where it bites, for Prometheus and under linkerd's names."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nodeagent.telemetry import linkerd_metrics
from nodeagent.telemetry.prometheus import Exposition
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import BalancerReading

WEB = "/#/io.l5d.fs/web"


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    client = registry.clients.acquire("out", WEB, lambda: BalancerReading(1, 0, 0, 0, "none", waiting=4))
    client.rejected.update(queue_full=3, queue_timeout=2)
    return registry


def scrape(registry: Registry) -> dict[tuple[str, ...], float]:
    page, _ = Exposition(registry, "1").render()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (("nodeagent_client_rejected_total", WEB, "queue_full", "out"), 3),
        (("nodeagent_client_rejected_total", WEB, "queue_timeout", "out"), 2),
        (("nodeagent_client_waiting", WEB, "out"), 4),
    ],
)
def test_what_is_bounded_is_shown(registry: Registry, row: tuple[str, ...], value: float) -> None:
    assert scrape(registry)[row] == value


def test_what_is_refused_is_use_and_goes_to_other_whole(registry: Registry) -> None:
    (client,) = registry.clients.series()
    other = type(client)("out", "other")

    assert client.activity() == 5
    other.absorb(client)
    client.clear()
    assert (other.rejected.total(), client.rejected.total()) == (5, 0)


def test_linkerds_names(registry: Registry) -> None:
    flat = linkerd_metrics.flat(registry, "rt/out/client/#/io.l5d.fs/web")

    assert (flat["pool_waiters"], flat["pool_num_too_many_waiters"]) == (4.0, 3)
