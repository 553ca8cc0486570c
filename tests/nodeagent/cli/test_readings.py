"""What two readings of an agent's pages say."""

from __future__ import annotations

from typing import Any

import click
import pytest

from nodeagent.cli.readings import Reading, chosen, reading, rows
from nodeagent.cli.stat_text import render


def service(requests: int, success: int, retries: int = 0, **latency: float) -> dict[str, Any]:
    return {
        "requests": {"counter": requests},
        "success": {"counter": success},
        "pending": {"gauge": 2.0},
        "request_latency_ms": {"stat.count": requests, **{f"stat.{key}": value for key, value in latency.items()}},
        "retries": {"total": {"counter": retries}, "budget": {"gauge": 97.0}},
    }


def client(requests: int, success: int) -> dict[str, Any]:
    node = service(requests, success)
    del node["retries"]["total"]
    return node | {"connections": {"gauge": 3.0}}


def at(seconds: float, services: dict[str, Any], clients: dict[str, Any] | None = None) -> Reading:
    endpoint = {"endpoint": "10.0.0.7:80", "health": "dead", "pending": 1, "load": 2, "error": "it said \x1b[2J"}
    state = {"/#/users": {"routers": {"out": {"endpoints": [endpoint]}}}}
    return reading(seconds, {"rt": {"out": {"service": services, "client": clients or {}, "server": {}}}}, state)


def test_rates_and_success_are_of_the_time_between() -> None:
    before = at(10.0, {"svc/users": service(100, 90, 5)}, {"#/users": client(110, 90)})
    now = at(12.0, {"svc/users": service(120, 108, 9, p50=3.0, p99=40.0)}, {"#/users": client(134, 110)})
    [users], [pool] = rows(before, now)
    assert (users.router, users.name, users.rate, users.success) == ("out", "/svc/users", 10.0, 0.9)
    assert (users.attempts, users.failures) == (12.0, 1.0)
    assert (users.p50, users.p99, users.pending, users.budget) == (3.0, 40.0, 2, 97)
    assert (pool.name, pool.rate, pool.connections) == ("/#/users", 12.0, 3)
    assert [each.endpoint for each in pool.endpoints] == ["10.0.0.7:80"]


@pytest.mark.parametrize(
    ("before", "rate", "success"),
    [
        pytest.param({"svc/users": service(10, 10)}, 0.0, None, id="nothing was asked"),
        pytest.param({}, 10.0, 1.0, id="the name is new"),
        pytest.param({"svc/users": service(5000, 1)}, 10.0, 1.0, id="the agent began again"),
    ],
)
def test_first_and_last_things(before: dict[str, Any], rate: float, success: float | None) -> None:
    [users], _ = rows(at(0.0, before), at(1.0, {"svc/users": service(10, 10)}))
    assert (users.rate, users.success) == (rate, success)


def test_some_of_them() -> None:
    found, _ = rows(at(0.0, {}), at(1.0, {name: service(1, 1) for name in ("svc/users", "svc/USERS-2", "svc/web")}))
    assert [row.name for row in chosen(found, None, ["users"])] == ["/svc/USERS-2", "/svc/users"]
    assert [row.name for row in chosen(found, "out", ["web", "none"])] == ["/svc/web"]
    assert chosen(found, "other", []) == []
    assert len(chosen(found, None, [])) == 3


@pytest.mark.parametrize("metrics", [[], {"rt": []}, {"rt": {"out": {"service": {"svc/x": {"requests": 3}}}}}])
def test_what_is_no_such_page(metrics: Any) -> None:
    with pytest.raises((LookupError, TypeError, ValueError, AttributeError)):
        reading(0.0, metrics, {})


def test_as_text() -> None:
    services = {"svc/users": service(120, 90, 30, p50=3.04, p99=40.0), "svc/web": service(0, 0)}
    found = rows(at(0.0, {}), at(1.0, services, {"#/users": client(1234, 1234)}))
    assert click.unstyle(render(*found, totals=False)).splitlines() == [
        "router out",
        "service     req/s  success     p50    p99  tries/s  in flight  budget",
        "/svc/users    120    75.0%  3.0 ms  40 ms      150          2      97",
        "/svc/web      0.0        -       -      -      0.0          2      97",
        "client      req/s  success     p50    p99           in flight   conns",
        "/#/users     1234   100.0%       -      -                   2       3",
        "  10.0.0.7:80  dead, 1 in flight, load 2: it said \\x1b[2J",
    ]
    assert "requests  success     p50    p99  tries" in click.unstyle(render(*found, totals=True))
