"""Counters at two moments become figures."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from nodeagent.cli.demo_table import (
    WINDOW,
    EndpointReading,
    EndpointRow,
    Reading,
    ServiceReading,
    ServiceRow,
    Window,
    line,
    rows,
    table,
)
from nodeagent.telemetry.histogram import Histogram


def reading(
    at: float,
    success: int = 0,
    failure: int = 0,
    retries: int = 0,
    latencies: tuple[float, ...] = (),
    answered: tuple[int, ...] = (0, 0),
) -> Reading:
    """One service with two endpoints, on the ports 81 and 82."""
    latency = Histogram()
    for seconds in latencies:
        latency.observe(seconds)
    endpoints = tuple(
        EndpointReading(port, count, "alive", 1.0) for port, count in zip((81, 82), answered, strict=True)
    )
    return Reading(at, {"users": ServiceReading(success, failure, retries, latency.snapshot(), endpoints)})


def test_rates_are_of_the_last_second_and_the_rest_of_the_window() -> None:
    oldest = reading(0, success=100, latencies=(9.0,), answered=(50, 50))
    last = reading(9, success=150, failure=5, latencies=(9.0, 0.1), answered=(75, 85))
    now = reading(11, success=190, failure=10, retries=7, latencies=(9.0, 0.1, 0.1, 0.1), answered=(80, 140))

    (row,) = rows(oldest, last, now)

    assert row.requests == 45 / 2
    assert row.success == 0.9
    assert row.retries == 7
    assert row.p50 == pytest.approx(100, rel=0.05)
    assert row.p99 == pytest.approx(100, rel=0.05)
    assert row.endpoints == (EndpointRow(81, 0.25, "alive", 1.0), EndpointRow(82, 0.75, "alive", 1.0))


def test_nothing_happened() -> None:
    (row,) = rows(reading(0), reading(0), reading(1))

    assert (row.requests, row.success, row.p50, row.p99) == (0, 1, 0, 0)
    assert [endpoint.share for endpoint in row.endpoints] == [0, 0]


def test_an_endpoint_that_was_not_there_before_counts_from_nothing() -> None:
    before = Reading(0, {"users": ServiceReading(0, 0, 0, Histogram().snapshot(), ())})

    (row,) = rows(before, before, reading(1, answered=(3, 1)))

    assert [endpoint.share for endpoint in row.endpoints] == [0.75, 0.25]


def test_a_window_has_nothing_to_say_at_first_and_forgets_what_is_old() -> None:
    window = Window()

    shown = [window.add(reading(second, success=second, failure=1)) for second in range(WINDOW + 3)]

    assert shown[0] == ()
    assert shown[1][0].requests == 1
    assert shown[-1][0].success == 1  # the failure lies before the window


ROW = ServiceRow(
    "users", 72.4, 0.9996, 3.7, 12.2, 2, (EndpointRow(40123, 0.4, "alive", 4.2), EndpointRow(81, 0.6, "dead", 900))
)


def test_a_line() -> None:
    assert line(3, [ROW, ROW]) == (
        "   3 s | users 72/s 100.0% p50 4 ms p99 12 ms retries 2 | users 72/s 100.0% p50 4 ms p99 12 ms retries 2"
    )


def test_a_table_fits_a_terminal() -> None:
    shown = io.StringIO()
    Console(file=shown, width=80).print(table([ROW]))

    assert [text.split() for text in shown.getvalue().splitlines()] == [
        ["service", "req/s", "success", "p50", "p99", "retries", "instance", "share", "state", "load"],
        ["users", "72", "100.0%", "4", "ms", "12", "ms", "2"],
        [":40123", "40%", "alive", "4", "ms"],
        [":81", "60%", "dead", "900", "ms"],
    ]
