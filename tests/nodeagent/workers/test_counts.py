"""What a worker has counted, through a message and back."""

from __future__ import annotations

import msgspec
import pytest

from nodeagent.telemetry import linkerd_metrics
from nodeagent.telemetry.prometheus import Exposition
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import Concurrency, Series
from nodeagent.telemetry.tunnels import TunnelStats
from nodeagent.workers.counts import Counts, counts_of, joined
from nodeagent.workers.ledger import Ledger
from tests.nodeagent.telemetry.readings import balancer_reading


def busy_registry() -> Registry:
    """One in which everything was counted once."""
    registry = Registry()
    service = registry.services.acquire("out", "/svc/users", lambda: 7.5)
    client = registry.clients.acquire("out", "/#/users", lambda: balancer_reading(2, 1, ejections=3, waiting=4))
    for series in (service, client):
        series.success, series.failure, series.pending = 5, 2, 1
        for seconds in (0.003, 0.02, 4.0):
            series.duration.observe(seconds)
        series.roll()
        series.duration.observe(0.1)
    service.retries["5XX"] = 2
    service.retries_per_request.observe(2)
    service.budget_exhausted = 1
    service.hedges["won"] = 1
    service.hedge_delay = 0.25
    service.rejected["queue_full"] = 3
    service.concurrency = lambda: Concurrency(10, 4, 2)
    client.connections = 3
    client.connect_failures["connection_refused"] = 2
    client.rejected["queue_timeout"] = 1
    client.checks["passed"] = 9
    client.requeues = 1
    server = registry.server("out", "127.0.0.1", 4140)
    server.statuses[2], server.success, server.connects, server.connections = 5, 5, 4, 2
    server.proxy_header_errors = 2
    server.tls_handshaking = 3
    server.tls_handshakes["TLSv1.3"] = 5
    server.tls_failures["timeout"] = 6
    server.connections_limit, server.connections_refused, server.connections_evicted = 100, 7, 8
    server.connections_denied = 9
    registry.tunnels("out").absorb(TunnelStats("out", sent=1000, received=2000))
    registry.tunnels("out").adopt_open(TunnelStats("out", open_elsewhere=3))
    registry.namer("/io.l5d.fs").updates = 6
    registry.errors("out")["dns_timeout"] += 1
    registry.access_log("out").update(written=3, dropped=2)
    registry.spans("otlp")["dropped"] += 7
    registry.survey_certificates = lambda: {"cert.pem": 1.8e9}
    registry.authorizers("out").update({"denied opa": 3, "microseconds opa": 4})
    registry.policy("out").update({"deny no admin": 2, "allow default": 1})
    registry.memory.limit = 1 << 30
    return registry


def sent(counts: Counts) -> Counts:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(counts), type=Counts)


def page(registry: Registry) -> bytes:
    return Exposition(registry, "1", others=()).render()[0]


def test_the_pages_of_one_worker_are_those_of_an_agent_alone() -> None:
    registry, ledger = busy_registry(), Ledger()
    ledger.tell(0, sent(counts_of(registry)))

    assert page(ledger.registry()) == page(registry)
    assert linkerd_metrics.flat(ledger.registry()) == linkerd_metrics.flat(registry)


def test_what_was_never_used_costs_a_message_next_to_nothing() -> None:
    registry = Registry(limit=1000, eager=1000)
    for number in range(1000):
        registry.services.acquire("out", f"/svc/{number}", lambda: 0.0)

    assert len(msgspec.msgpack.encode(counts_of(registry))) < 40_000


@pytest.mark.parametrize("window", [0, 1, 2, 3])
def test_a_histogram_keeps_its_place_in_the_window(window: int) -> None:
    registry = busy_registry()
    (service,) = registry.services.series()
    for _ in range(window):
        service.roll()
    ledger = Ledger()
    ledger.tell(0, sent(counts_of(registry)))
    (copy,) = ledger.registry().services.series()

    assert copy.duration.window() == service.duration.window()
    assert copy.duration.snapshot() == service.duration.snapshot()


def test_every_counter_of_a_series_arrives() -> None:
    """One that is added to a class and not absorbed would be missing here."""
    registry = busy_registry()
    for family in (registry.services, registry.clients):
        (series,) = family.series()
        for kind in type(series).__mro__:
            for name in getattr(kind, "__slots__", ()):
                if isinstance(getattr(series, name), int):
                    setattr(series, name, 3)
    ledger = Ledger()
    ledger.tell(0, sent(counts_of(registry)))
    ledger.tell(1, sent(counts_of(registry)))
    whole = ledger.registry()
    for family, total in ((registry.services, whole.services), (registry.clients, whole.clients)):
        (series,), (double,) = family.series(), total.series()
        assert isinstance(double, Series)
        for name in numbers(series):
            assert getattr(double, name) == 2 * getattr(series, name), name


def numbers(series: object) -> list[str]:
    slots = [name for kind in type(series).__mro__ for name in getattr(kind, "__slots__", ())]
    return [name for name in slots if isinstance(getattr(series, name), int)]


def test_endpoints_count_once_and_what_happened_adds_up() -> None:
    one, two = balancer_reading(3, 0, ejections=1, waiting=2), balancer_reading(2, 1, ejections=4, waiting=1)
    whole = joined([one, two])

    assert (whole.balancer.alive, whole.balancer.dead) == (2, 1), "who sees the fewest alive has the latest news"
    assert (whole.balancer.ejections, whole.waiting) == (5, 3)


def test_who_knows_more_endpoints_has_the_latest_news_of_discovery() -> None:
    assert joined([balancer_reading(2), balancer_reading(3)]).balancer.alive == 3
