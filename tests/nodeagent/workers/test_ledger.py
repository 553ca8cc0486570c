"""The counters of the whole never go backwards, whatever becomes of workers and names."""

from __future__ import annotations

from nodeagent.telemetry.histogram import STEP_SECONDS, STEPS
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import Concurrency
from nodeagent.workers.counts import counts_of
from nodeagent.workers.ledger import Ledger
from tests.nodeagent.telemetry.readings import balancer_reading


def counted(name: str = "/svc/users", success: int = 0, *, pending: int = 0) -> Registry:
    registry = Registry()
    service = registry.services.acquire("out", name, lambda: 1.0)
    service.success, service.pending = success, pending
    for _ in range(success):
        service.duration.observe(0.1)
    server = registry.server("out", "127.0.0.1", 4140)
    server.connects, server.connections, server.statuses[2] = success, pending, success
    registry.errors("out")["dns_timeout"] = success
    registry.spans("otlp")["exported"] = success
    registry.namer("/io.l5d.fs").updates = success
    return registry


def success(ledger: Ledger, name: str = "/svc/users") -> int | None:
    found = [each.success for each in ledger.registry().services.series() if each.name == name]
    return found[0] if found else None


def tell(ledger: Ledger, worker: int, registry: Registry) -> None:
    ledger.tell(worker, counts_of(registry))


def test_workers_add_up() -> None:
    ledger = Ledger()
    tell(ledger, 0, counted(success=3, pending=1))
    tell(ledger, 1, counted(success=4, pending=2))
    whole = ledger.registry()
    (service,), (server,) = whole.services.series(), whole.servers()

    assert (service.success, service.pending, service.duration.count, service.retry_budget()) == (7, 3, 7, 2.0)
    assert (server.connects, server.connections, server.statuses[2]) == (7, 3, 7)
    assert whole.errors_by_router()["out"]["dns_timeout"] == 7
    assert whole.spans_by_exporter()["otlp"]["exported"] == 7
    assert whole.namers()[0].updates == 7


def test_a_dead_worker_leaves_its_counters_and_nothing_that_is_under_way() -> None:
    ledger = Ledger()
    tell(ledger, 0, counted(success=3, pending=1))
    tell(ledger, 1, counted(success=4))
    ledger.lose(0)
    whole = ledger.registry()
    (service,), (server,) = whole.services.series(), whole.servers()
    assert (service.success, service.pending) == (7, 0)
    assert (server.connects, server.connections) == (7, 0)

    tell(ledger, 0, counted(success=1))  # its replacement begins with nothing

    assert success(ledger) == 8
    assert ledger.registry().errors_by_router()["out"]["dns_timeout"] == 8
    assert ledger.registry().spans_by_exporter()["otlp"]["exported"] == 8


def test_a_replacement_that_has_not_heard_of_a_name_yet_does_not_make_it_forgotten() -> None:
    ledger = Ledger()
    tell(ledger, 0, counted(success=3))
    ledger.lose(0)
    tell(ledger, 0, Registry())

    assert success(ledger) == 3


def test_a_name_that_one_worker_forgets_stays_while_another_has_it() -> None:
    ledger = Ledger(idle=5 * STEP_SECONDS)
    tell(ledger, 0, counted(success=3))
    tell(ledger, 1, counted(success=4))
    tell(ledger, 0, Registry())
    for _ in range(10):
        ledger.roll()
    assert success(ledger) == 7

    tell(ledger, 1, Registry())
    for _ in range(5):
        ledger.roll()
    assert success(ledger) == 7
    ledger.roll()
    assert success(ledger) is None, "nobody has known it for as long as one agent remembers"


def test_a_name_that_was_forgotten_and_came_back_goes_on_from_where_it_was() -> None:
    ledger = Ledger()
    tell(ledger, 0, counted(success=30))
    tell(ledger, 0, counted(success=2))

    assert success(ledger) == 32


def test_what_the_dead_have_seen_leaves_the_window() -> None:
    ledger = Ledger()
    tell(ledger, 0, counted(success=3))
    ledger.lose(0)
    tell(ledger, 0, counted(success=0))
    for _ in range(STEPS):
        ledger.roll()
    (service,) = ledger.registry().services.series()

    assert (service.duration.count, service.duration.window().count) == (3, 0)


def test_limits_are_those_of_the_whole() -> None:
    ledger = Ledger()
    for worker in range(2):
        registry = counted()
        (service,) = registry.services.series()
        service.concurrency = lambda: Concurrency(50, 10, 1)
        registry.memory.limit = 100
        registry.memory.shedding = worker == 1
        tell(ledger, worker, registry)
    whole = ledger.registry()
    (service,) = whole.services.series()

    assert service.concurrency is not None
    assert service.concurrency() == Concurrency(100, 20, 2)
    assert (whole.memory.limit, whole.memory.shedding) == (200, True)


def test_a_client_that_is_gone_and_still_counted_has_no_balancer() -> None:
    ledger, registry = Ledger(), Registry()

    def reading() -> object:
        return balancer_reading(1)

    client = registry.clients.acquire("out", "/#/users", reading)  # type: ignore[arg-type]
    client.success = 1
    registry.clients.release(client, reading)  # type: ignore[arg-type]
    tell(ledger, 0, registry)
    (copy,) = ledger.registry().clients.series()

    assert (copy.success, copy.balancers()) == (1, [])


def test_more_names_than_one_worker_shows_are_shown_all() -> None:
    ledger = Ledger()
    for worker in range(2):
        registry = Registry()
        for number in range(40):
            registry.services.acquire("out", f"/svc/{worker}-{number}", lambda: 0.0).success = 1
        tell(ledger, worker, registry)

    names = {each.name for each in ledger.registry().services.series()}
    assert len(names) == 2 * 16 + 1, "those that each shows, and the rest as other"
    assert sum(each.success for each in ledger.registry().services.series()) == 80


def test_what_rules_decided_adds_up() -> None:
    ledger = Ledger()
    for worker in (0, 1):
        registry = Registry()
        registry.policy("out")["deny no admin"] = 2
        registry.authorizers("out")["allowed opa"] = 3
        tell(ledger, worker, registry)
    ledger.lose(0)

    assert ledger.registry().policies_by_router() == {"out": {"deny no admin": 4}}
    assert ledger.registry().authorizers_by_router() == {"out": {"allowed opa": 6}}
