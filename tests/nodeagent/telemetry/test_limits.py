"""Each bound shows where it bites, for Prometheus and under linkerd's names."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nodeagent.telemetry import linkerd_metrics
from nodeagent.telemetry.prometheus import Exposition
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import Concurrency
from tests.nodeagent.telemetry.readings import balancer_reading

WEB = "/#/io.l5d.fs/web"


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    client = registry.clients.acquire("out", WEB, lambda: balancer_reading(1, 0, 0, 0, "none", waiting=4))
    client.rejected.update(queue_full=3, queue_timeout=2)
    service = registry.services.acquire("out", "/svc/web", lambda: 1.0)
    service.rejected.update(queue_full=7, queue_timeout=6)
    service.concurrency = lambda: Concurrency(10, 9, 8)
    registry.services.acquire("out", "/svc/unlimited", lambda: 1.0)
    registry.memory.limit, registry.memory.shedding = 1000, True
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
        (("nodeagent_service_rejected_total", "queue_full", "out", "/svc/web"), 7),
        (("nodeagent_service_rejected_total", "queue_timeout", "out", "/svc/web"), 6),
        (("nodeagent_service_concurrency_limit", "out", "/svc/web"), 10),
        (("nodeagent_service_concurrency", "out", "/svc/web"), 9),
        (("nodeagent_service_waiting", "out", "/svc/web"), 8),
        (("nodeagent_memory_limit_bytes",), 1000),
        (("nodeagent_memory_shedding",), 1),
    ],
)
def test_what_is_bounded_is_shown(registry: Registry, row: tuple[str, ...], value: float) -> None:
    assert scrape(registry)[row] == value


def test_what_has_no_limit_shows_none(registry: Registry) -> None:
    assert ("nodeagent_service_concurrency_limit", "out", "/svc/unlimited") not in scrape(registry)
    assert ("nodeagent_memory_limit_bytes",) not in scrape(Registry())
    assert scrape(Registry())[("nodeagent_memory_shedding",)] == 0


def test_what_is_refused_is_use_and_goes_to_other_whole(registry: Registry) -> None:
    (client,) = registry.clients.series()
    service = next(iter(registry.services.series()))
    other, others = type(client)("out", "other"), type(service)("out", "other")

    assert (client.activity(), service.activity()) == (5, 0)  # a service's are failures, and counted as such
    other.absorb(client)
    others.absorb(service)
    client.clear()
    service.clear()
    assert (other.rejected.total(), others.rejected.total()) == (5, 13)
    assert (client.rejected.total(), service.rejected.total()) == (0, 0)


def test_linkerds_names(registry: Registry) -> None:
    flat = linkerd_metrics.flat(registry, "rt/out/client/#/io.l5d.fs/web")

    assert (flat["pool_waiters"], flat["pool_num_too_many_waiters"]) == (4.0, 3)
