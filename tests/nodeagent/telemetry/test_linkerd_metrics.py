"""The names of linkerd 1.x's metrics.json, flat, nested and below a scope."""

import json

import pytest

from nodeagent.telemetry.histogram import STEPS
from nodeagent.telemetry.linkerd_metrics import UnknownSubtreeError, flat, tree
from nodeagent.telemetry.registry import SWEEP_SECONDS, Registry
from nodeagent.telemetry.stats import BalancerReading
from tests.nodeagent.telemetry.readings import balancer_reading


def balancer() -> BalancerReading:
    return balancer_reading(
        alive=3,
        dead=1,
        probing=1,
        ejections=4,
        policy="consecutiveFailures",
        refusals=2,
        check_outs=3,
        revivals=2,
        probes=6,
        adds=7,
        removes=8,
        max_effort_exhausted=9,
        requeue_budget=10,
    )


def budget() -> float:
    return 100.0


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    server = registry.server("out", "127.0.0.1", 4140)
    server.statuses[2], server.statuses[5], server.success, server.failure = 3, 1, 3, 1
    server.connections, server.connects, server.pending = 2, 3, 6
    service = registry.services.acquire("out", "/svc/web", budget)
    service.success, service.failure, service.pending = 3, 1, 1
    service.retries["5XX"] += 2
    service.retries_per_request.observe(2)
    client = registry.clients.acquire("out", "/#/io.l5d.fs/web", balancer)
    client.success, client.failure, client.connections, client.requeues = 3, 3, 5, 1
    client.connect_failures["connection_refused"] += 2
    client.connects, client.statuses[2], client.statuses[0] = 13, 14, 15
    client.requeue_budget_exhausted, client.requeue_limits = 11, 12
    for _ in range(4):
        service.duration.observe(0.1)
    registry.namer("/#/io.l5d.fs").updates += 4
    return registry


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rt/out/server/127.0.0.1/4140/requests", 4),
        ("rt/out/server/127.0.0.1/4140/success", 3),
        ("rt/out/server/127.0.0.1/4140/failures", 1),
        ("rt/out/server/127.0.0.1/4140/connections", 2.0),
        ("rt/out/server/127.0.0.1/4140/connects", 3),
        ("rt/out/server/127.0.0.1/4140/pending", 6.0),
        ("rt/out/server/127.0.0.1/4140/status/2XX", 3),
        ("rt/out/service/svc/web/requests", 4),
        ("rt/out/service/svc/web/success", 3),
        ("rt/out/service/svc/web/failures", 1),
        ("rt/out/service/svc/web/pending", 1.0),
        ("rt/out/service/svc/web/request_latency_ms.count", 4),
        ("rt/out/service/svc/web/request_latency_ms.sum", 400.0),
        ("rt/out/service/svc/web/request_latency_ms.avg", 100.0),
        ("rt/out/service/svc/web/retries/total", 2),
        ("rt/out/service/svc/web/retries/per_request.count", 4),
        ("rt/out/service/svc/web/retries/per_request.max", 2.0),
        ("rt/out/service/svc/web/retries/budget", 100.0),
        ("rt/out/service/svc/web/retries/budget_exhausted", 0),
        ("rt/out/client/#/io.l5d.fs/web/requests", 6),
        ("rt/out/client/#/io.l5d.fs/web/failures", 3),
        ("rt/out/client/#/io.l5d.fs/web/failures/connection_refused", 2),
        ("rt/out/client/#/io.l5d.fs/web/connections", 5.0),
        ("rt/out/client/#/io.l5d.fs/web/connects", 13),
        ("rt/out/client/#/io.l5d.fs/web/status/2XX", 14),
        ("rt/out/client/#/io.l5d.fs/web/status/error", 15),
        ("rt/out/client/#/io.l5d.fs/web/request_latency_ms.count", 0),
        ("rt/out/client/#/io.l5d.fs/web/retries/requeues", 1),
        ("rt/out/client/#/io.l5d.fs/web/failure_accrual/removals", 9),
        ("rt/out/client/#/io.l5d.fs/web/retries/budget", 10.0),
        ("rt/out/client/#/io.l5d.fs/web/retries/budget_exhausted", 11),
        ("rt/out/client/#/io.l5d.fs/web/retries/request_limit", 12),
        ("rt/out/client/#/io.l5d.fs/web/failure_accrual/revivals", 2),
        ("rt/out/client/#/io.l5d.fs/web/failure_accrual/probes", 6),
        ("rt/out/client/#/io.l5d.fs/web/loadbalancer/size", 5.0),
        ("rt/out/client/#/io.l5d.fs/web/loadbalancer/available", 3.0),
        ("rt/out/client/#/io.l5d.fs/web/loadbalancer/busy", 2.0),
        ("rt/out/client/#/io.l5d.fs/web/loadbalancer/adds", 7),
        ("rt/out/client/#/io.l5d.fs/web/loadbalancer/removes", 8),
        ("rt/out/client/#/io.l5d.fs/web/loadbalancer/max_effort_exhausted", 9),
        ("namer/#/io.l5d.fs/updates", 4),
    ],
)
def test_what_linkerd_users_look_for_has_its_name(registry: Registry, name: str, value: float) -> None:
    found = flat(registry)[name]

    assert found == value
    assert type(found) is type(value)


def test_percentiles_are_milliseconds_within_five_percent(registry: Registry) -> None:
    metrics = flat(registry, "rt/out/service/svc/web")

    for field in ("min", "max", "p50", "p90", "p95", "p99", "p9990", "p9999"):
        assert metrics[f"request_latency_ms.{field}"] == pytest.approx(100.0, rel=0.05)


async def test_percentiles_forget_after_a_minute_and_counters_do_not(registry: Registry) -> None:
    for step in range(STEPS):
        await registry.sweep(step * SWEEP_SECONDS)
    metrics = flat(registry, "rt/out/service/svc/web")

    assert metrics["request_latency_ms.count"] == 0
    assert "request_latency_ms.p50" not in metrics
    assert metrics["requests"] == 4


def test_the_nested_form_says_of_each_metric_what_it_is(registry: Registry) -> None:
    service = tree(registry, "rt/out/service/svc/web")
    client = tree(registry, "rt/out/client/#/io.l5d.fs/web")

    assert service["requests"] == {"counter": 4}
    assert service["pending"] == {"gauge": 1.0}
    assert isinstance(latency := service["request_latency_ms"], dict)
    assert (latency["stat.count"], latency["stat.avg"]) == (4, 100.0)
    assert client["failures"] == {"counter": 3, "connection_refused": {"counter": 2}}


def test_a_name_is_one_scope_slashes_and_all(registry: Registry) -> None:
    routers = tree(registry)["rt"]

    assert isinstance(routers, dict)
    assert isinstance(router := routers["out"], dict)
    assert {scope: list(names) for scope, names in router.items() if isinstance(names, dict)} == {
        "server": ["127.0.0.1/4140"],
        "service": ["svc/web"],
        "client": ["#/io.l5d.fs/web"],
    }


def test_below_a_scope_names_are_relative_to_it(registry: Registry) -> None:
    everything = flat(registry)
    scope = "rt/out/service"

    assert flat(registry, scope) == {
        name.removeprefix(scope + "/"): value for name, value in everything.items() if name.startswith(scope + "/")
    }
    assert flat(registry, "/rt/") == flat(registry, "rt")
    assert flat(registry, "rt/out/service/svc/web/requests") == {"": 4}


@pytest.mark.parametrize("q", ["nope", "rt/nope", "rt/out/service/svc", "rt/out/service/svc/we", "rt//out", "rt/out/x"])
def test_an_unknown_scope_is_an_error(registry: Registry, q: str) -> None:
    with pytest.raises(UnknownSubtreeError):
        flat(registry, q)
    with pytest.raises(UnknownSubtreeError):
        tree(registry, q)


def test_an_agent_that_has_seen_nothing_shows_an_empty_object() -> None:
    assert flat(Registry()) == {}
    assert tree(Registry()) == {}


def test_both_forms_are_json(registry: Registry) -> None:
    assert json.loads(json.dumps(flat(registry))) == flat(registry)
    assert json.loads(json.dumps(tree(registry))) == tree(registry)


def test_the_first_agent_on_the_way_is_marked() -> None:
    registry = Registry()
    registry.originators.add("out")

    assert flat(registry)["rt/out/originator"] == 1
