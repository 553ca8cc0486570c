"""What is scraped is complete, bounded, parses in both formats and passes promtool."""

import math
import shutil
import subprocess
from functools import partial

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from nodeagent.telemetry.prometheus import AT_A_TIME, BOUNDS, Exposition, prefers_openmetrics
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import BalancerReading
from tests.nodeagent.telemetry.readings import balancer_reading

BALANCER = balancer_reading(3, 1, 1, ejections=4, policy="consecutiveFailures", asked=3, check_outs=2, all_dead=True)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
NASTY = 'a"b\\c\nd'

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def balancer() -> BalancerReading:
    return BALANCER


def budget() -> float:
    return 100.0


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    server = registry.server("out", "127.0.0.1", 4140)
    server.statuses[2], server.statuses[5], server.success, server.failure = 7, 1, 7, 1
    server.connections, server.connects = 2, 3
    service = registry.services.acquire("out", "/svc/web", budget)
    service.success, service.failure, service.budget_exhausted = 7, 1, 2
    service.retries["5XX"] += 3
    service.hedges["won"], service.hedge_budget_exhausted, service.hedge_delay = 5, 6, 0.25
    client = registry.clients.acquire("out", "/#/io.l5d.fs/web", balancer)
    client.success, client.failure, client.connections, client.requeues = 8, 3, 5, 1
    client.connect_failures["connection_refused"] += 2
    client.checks.update(passed=9, failed=6)
    for seconds in (0.0005, 0.001, 0.3, 100.0):
        service.duration.observe(seconds)
        client.duration.observe(seconds)
    namer = registry.namer("/#/io.l5d.fs")
    namer.updates, namer.errors, namer.staleness, namer.overdue_answers = 4, 1, 2.5, 3
    registry.errors("out")["connection_refused"] += 2
    return registry


def scrape(registry: Registry) -> Samples:
    page, _ = Exposition(registry, "1.2.3").render()
    samples: Samples = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return samples


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("build_info", {"version": "1.2.3"}, 1),
        ("server_requests_total", {"router": "out", "server": "127.0.0.1:4140", "status_class": "2XX"}, 7),
        ("server_connections", {"router": "out", "server": "127.0.0.1:4140"}, 2),
        ("server_connects_total", {"router": "out", "server": "127.0.0.1:4140"}, 3),
        ("service_requests_total", {"router": "out", "service": "/svc/web", "classification": "success"}, 7),
        ("service_requests_total", {"router": "out", "service": "/svc/web", "classification": "failure"}, 1),
        ("service_request_duration_seconds_count", {"router": "out", "service": "/svc/web"}, 4),
        ("service_retries_total", {"router": "out", "service": "/svc/web", "reason": "5XX"}, 3),
        ("service_retry_budget", {"router": "out", "service": "/svc/web"}, 100),
        ("service_retry_budget_exhausted_total", {"router": "out", "service": "/svc/web"}, 2),
        ("service_hedges_total", {"router": "out", "service": "/svc/web", "result": "won"}, 5),
        ("service_hedges_total", {"router": "out", "service": "/svc/web", "result": "failed"}, 0),
        ("service_hedge_budget_exhausted_total", {"router": "out", "service": "/svc/web"}, 6),
        ("service_hedge_delay_seconds", {"router": "out", "service": "/svc/web"}, 0.25),
        ("client_requests_total", {"router": "out", "client": "/#/io.l5d.fs/web", "classification": "failure"}, 3),
        ("client_request_duration_seconds_count", {"router": "out", "client": "/#/io.l5d.fs/web"}, 4),
        ("client_connections", {"router": "out", "client": "/#/io.l5d.fs/web"}, 5),
        (
            "client_connect_failures_total",
            {"router": "out", "client": "/#/io.l5d.fs/web", "reason": "connection_refused"},
            2,
        ),
        ("client_requeues_total", {"router": "out", "client": "/#/io.l5d.fs/web"}, 1),
        ("balancer_endpoints", {"router": "out", "client": "/#/io.l5d.fs/web", "state": "alive"}, 3),
        ("balancer_endpoints", {"router": "out", "client": "/#/io.l5d.fs/web", "state": "dead"}, 1),
        ("balancer_endpoints", {"router": "out", "client": "/#/io.l5d.fs/web", "state": "probing"}, 1),
        (
            "balancer_ejections_total",
            {"router": "out", "client": "/#/io.l5d.fs/web", "policy": "consecutiveFailures"},
            4,
        ),
        ("balancer_ejections_total", {"router": "out", "client": "/#/io.l5d.fs/web", "policy": "healthCheck"}, 2),
        ("balancer_ejections_total", {"router": "out", "client": "/#/io.l5d.fs/web", "policy": "retryAfter"}, 3),
        ("balancer_all_dead", {"router": "out", "client": "/#/io.l5d.fs/web", "policy": "tryAll"}, 1),
        ("balancer_checks_total", {"router": "out", "client": "/#/io.l5d.fs/web", "result": "passed"}, 9),
        ("balancer_checks_total", {"router": "out", "client": "/#/io.l5d.fs/web", "result": "failed"}, 6),
        ("namer_updates_total", {"namer": "/#/io.l5d.fs"}, 4),
        ("namer_errors_total", {"namer": "/#/io.l5d.fs"}, 1),
        ("namer_staleness_seconds", {"namer": "/#/io.l5d.fs"}, 2.5),
        ("namer_overdue_answers", {"namer": "/#/io.l5d.fs"}, 3.0),
        ("errors_total", {"router": "out", "error": "connection_refused"}, 2),
    ],
)
def test_everything_counted_is_shown(registry: Registry, name: str, labels: dict[str, str], value: float) -> None:
    assert scrape(registry)[f"nodeagent_{name}"][tuple(sorted(labels.items()))] == value


def test_a_service_that_is_not_hedged_has_no_series_about_it() -> None:
    registry = Registry()
    registry.services.acquire("out", "/svc/web", budget)

    assert not [name for name in scrape(registry) if "hedge" in name]


def test_histograms_are_cumulative_exact_at_their_bounds_and_sum_up(registry: Registry) -> None:
    samples = scrape(registry)
    buckets = {
        dict(labels)["le"]: value
        for labels, value in samples["nodeagent_service_request_duration_seconds_bucket"].items()
    }

    assert (buckets["0.001"], buckets["0.2"], buckets["0.5"], buckets["60.0"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert list(samples["nodeagent_service_request_duration_seconds_sum"].values()) == pytest.approx([100.3015])


def test_the_process_is_measured_too(registry: Registry) -> None:
    samples = scrape(registry)

    assert samples["process_resident_memory_bytes"][()] > 0
    assert samples["process_open_fds"][()] > 0
    assert "process_cpu_seconds_total" in samples


def test_samples_can_be_asked_for_by_their_names(registry: Registry) -> None:
    page, _ = Exposition(registry, "1.2.3").render(names=["nodeagent_build_info", "process_start_time_seconds"])
    lines = [line.partition("{")[0].partition(" ")[0] for line in page.decode().splitlines() if line[0] != "#"]
    assert lines == ["nodeagent_build_info", "process_start_time_seconds"]


def test_two_pages_of_one_registry_do_not_meet(registry: Registry) -> None:
    assert Exposition(registry, "1").render()[1] == Exposition(registry, "2").render()[1]


def test_a_prefix_stands_before_the_agents_own_names(registry: Registry) -> None:
    page = Exposition(registry, "1.2.3", "l5d_").render()[0].decode()

    assert "\nl5d_nodeagent_service_requests_total{" in page
    assert "\n# TYPE l5d_nodeagent_service_requests_total counter" in page
    assert "\nnodeagent_" not in page


def test_clients_that_are_shown_as_one_have_one_row_for_all_of_them() -> None:
    registry = Registry(eager=0)
    for name, dead in (("/#/a", False), ("/#/b", True), ("/#/c", False)):
        reading = partial(balancer_reading, 1, 0, 0, 0, "none", all_dead=dead)
        registry.clients.acquire("in", name, reading)

    page = Exposition(registry, "1.2.3").render()[0].decode()
    rows = [line for line in page.splitlines() if line.startswith("nodeagent_balancer_all_dead{")]

    assert rows == ['nodeagent_balancer_all_dead{client="other",policy="tryAll",router="in"} 1.0']


def test_the_share_of_the_preferred_zone_is_shown_where_there_is_one(registry: Registry) -> None:
    assert "nodeagent_balancer_local_share" not in scrape(registry)

    registry.clients.acquire("in", "/#/web", partial(balancer_reading, 0, 0, 0, 0, "none", local_share=0.7))

    assert scrape(registry)["nodeagent_balancer_local_share"] == {(("client", "/#/web"), ("router", "in")): 0.7}


def test_a_scrape_of_nothing_is_a_valid_page() -> None:
    assert scrape(Registry())["nodeagent_build_info"] == {(("version", "1.2.3"),): 1}


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        pytest.param("", False, id="nothing said"),
        pytest.param("*/*", False, id="curl"),
        pytest.param("text/plain", False, id="text"),
        pytest.param(OPENMETRICS, True, id="openmetrics"),
        pytest.param(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
            "text/plain;version=0.0.4;q=0.4,*/*;q=0.2",
            True,
            id="Prometheus 3",
        ),
        pytest.param("text/plain;q=0.9, application/openmetrics-text;q=0.5", False, id="text liked better"),
        pytest.param("application/openmetrics-text;q=0", False, id="refused"),
        pytest.param("application/openmetrics-text;q=x;version=..", False, id="hostile"),
        pytest.param("Application/OpenMetrics-Text; Q=1", True, id="any case"),
    ],
)
def test_the_format_is_negotiated(accept: str, openmetrics: bool) -> None:
    assert prefers_openmetrics(accept) is openmetrics


def test_both_formats_parse_and_say_what_they_are(registry: Registry) -> None:
    exposition = Exposition(registry, "1.2.3")
    text, text_type = exposition.render("text/plain")
    modern, modern_type = exposition.render(OPENMETRICS)

    assert text_type == "text/plain; version=0.0.4; charset=utf-8"
    assert modern_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert modern.endswith(b"# EOF\n")
    old_names = {family.name for family in text_string_to_metric_families(text.decode())}
    new_families = openmetrics.text_string_to_metric_families(modern.decode())  # type: ignore[no-untyped-call]
    assert old_names == {family.name for family in new_families}


def test_hostile_names_are_escaped() -> None:
    registry = Registry()
    registry.services.acquire("out", NASTY, budget)

    names = {dict(labels)["service"] for labels in scrape(registry)["nodeagent_service_requests_total"]}
    assert names == {NASTY}


def test_ten_thousand_hosts_leave_under_a_thousand_series_and_lose_no_request() -> None:
    registry = Registry()
    registry.server("out", "127.0.0.1", 4140)
    for host in range(10_000):
        service = registry.services.acquire("out", f"/svc/host-{host}", budget)
        client = registry.clients.acquire("out", f"/$/io.buoyant.rinet/80/host-{host}", balancer)
        service.failure += 1
        client.failure += 1
        client.connect_failures["connection_refused"] += 1
        service.duration.observe(0.001)

    samples = scrape(registry)

    assert sum(map(len, samples.values())) < 1000
    assert sum(samples["nodeagent_service_requests_total"].values()) == 10_000
    assert sum(samples["nodeagent_client_connect_failures_total"].values()) == 10_000


def test_a_page_of_many_names_is_written_in_pieces_that_take_a_moment_each() -> None:
    registry = Registry(eager=1000)
    for name in range(1000):
        registry.services.acquire("out", f"/svc/{name}", budget)
        registry.clients.acquire("out", f"/#/{name}", balancer)
    exposition = Exposition(registry, "1.2.3", others=())
    pieces = list(exposition.pieces()[0])

    assert b"".join(pieces) == exposition.render()[0]
    assert max(piece.count(b"\n") for piece in pieces) <= (len(BOUNDS) + 3) * AT_A_TIME + 2
    assert len(pieces) > 400


def test_what_has_no_end_is_written_as_prometheus_reads_it() -> None:
    registry = Registry()
    registry.services.acquire("out", "/svc/web", lambda: math.inf)

    assert list(scrape(registry)["nodeagent_service_retry_budget"].values()) == [math.inf]


@pytest.fixture
def promtool() -> str:
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    return path


def test_promtool_finds_nothing_to_complain_about(registry: Registry, promtool: str) -> None:
    registry.services.acquire("in", NASTY, budget)
    registry.clients.acquire("in", NASTY, partial(balancer_reading, 0, 0, 0, 0, "none"))
    page, _ = Exposition(registry, "1.2.3").render()

    checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)

    assert (checked.stdout + checked.stderr).decode() == ""
    assert checked.returncode == 0
