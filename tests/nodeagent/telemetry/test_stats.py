"""Counters are plain integers; what is derived from them is derived when somebody looks."""

import pytest

from nodeagent.telemetry.stats import ClientStats, NamerStats, ServerStats, ServiceStats, status_classes
from tests.nodeagent.telemetry.readings import balancer_reading


@pytest.mark.parametrize(
    ("ip", "address"),
    [
        pytest.param("127.0.0.1", "127.0.0.1:4140", id="v4"),
        pytest.param("::1", "[::1]:4140", id="v6 in brackets"),
    ],
)
def test_a_listener_is_named_as_people_write_it(ip: str, address: str) -> None:
    assert ServerStats("out", ip, 4140).address == address


def test_every_three_digit_status_has_a_class() -> None:
    server = ServerStats("out", "127.0.0.1", 4140)
    for status in (101, 200, 204, 302, 404, 503, 599, 600, 999):
        server.statuses[status // 100] += 1
    server.statuses[0] += 1

    assert status_classes(server.statuses) == {"1XX": 1, "2XX": 2, "3XX": 1, "4XX": 1, "5XX": 4, "error": 1}


@pytest.mark.parametrize("touch", ["success", "failure", "budget_exhausted", "hedge_budget_exhausted"])
def test_use_of_a_service_shows_in_its_activity(touch: str) -> None:
    service = ServiceStats("out", "/svc/web")
    setattr(service, touch, 1)

    assert service.activity() == 1


@pytest.mark.parametrize("touch", ["success", "failure", "requeues"])
def test_use_of_a_client_shows_in_its_activity(touch: str) -> None:
    client = ClientStats("out", "/#/fs/web")
    setattr(client, touch, 1)

    assert client.activity() == 1


def test_second_copies_are_use_too_and_are_not_lost_when_a_name_is_folded() -> None:
    service, other = ServiceStats("out", "/svc/web"), ServiceStats("out", "other")
    service.hedges["won"] += 2
    service.hedge_budget_exhausted, service.hedge_delay = 3, 0.25
    assert service.activity() == 5

    other.absorb(service)
    other.adopt_gauges(service)
    service.clear()

    assert (other.hedges["won"], other.hedge_budget_exhausted, other.hedge_delay) == (2, 3, 0.25)
    assert service.activity() == 0


def test_retries_connect_failures_and_checks_are_use_too() -> None:
    service, client = ServiceStats("out", "/svc/web"), ClientStats("out", "/#/fs/web")
    service.retries["5XX"] += 1
    client.connect_failures["connection_refused"] += 1
    client.checks["passed"] += 1

    assert (service.activity(), client.activity()) == (1, 2)


def test_open_requests_and_connections_keep_a_series_busy() -> None:
    service, client = ServiceStats("out", "/svc/web"), ClientStats("out", "/#/fs/web")
    assert not service.busy()
    assert not client.busy()

    service.pending += 1
    client.connections += 1

    assert service.busy()
    assert client.busy()


def test_retries_per_request_count_the_requests_that_had_none() -> None:
    service = ServiceStats("out", "/svc/web")
    for _ in range(9):
        service.duration.observe(0.01)
    service.duration.observe(0.02)
    service.retries_per_request.observe(2)

    summary = service.retries_of_all().window().summary()

    assert summary is not None
    assert (summary.count, summary.sum, summary.avg, summary.p50, summary.max) == (10, 2.0, 0.2, 0.0, 2.0)


def test_a_retry_budget_is_the_sum_over_those_who_hold_the_name() -> None:
    service = ServiceStats("out", "/svc/web")
    service.readers += [lambda: 100.0, lambda: 7.0]

    assert service.retry_budget() == 107.0


def test_absorbing_moves_all_that_was_counted_and_no_gauge() -> None:
    one, two = ClientStats("out", "other"), ClientStats("out", "/#/fs/web")
    two.success, two.failure, two.requeues, two.pending, two.connections = 1, 2, 3, 4, 5
    two.connects, two.statuses[2] = 8, 9
    two.connect_failures["connection_refused"] += 6
    two.checks["passed"] += 7
    two.duration.observe(0.1)
    two.readers.append(lambda: balancer_reading(1, 0, 0, 0, "none"))

    one.absorb(two)
    two.clear()

    assert (one.success, one.failure, one.requeues, one.duration.count) == (1, 2, 3, 1)
    assert one.connect_failures == {"connection_refused": 6}
    assert one.checks == {"passed": 7}
    assert (one.connects, one.statuses[2]) == (8, 9)
    assert (one.pending, one.connections, one.balancers()) == (0, 0, [])
    assert two.activity() == 0
    assert (two.pending, two.connections, len(two.balancers())) == (4, 5, 1)


def test_a_namer_is_fresh_until_its_owner_says_how_stale() -> None:
    namer = NamerStats("/#/io.l5d.fs")

    assert (namer.updates, namer.errors, namer.staleness, namer.overdue_answers) == (0, 0, 0.0, 0)
