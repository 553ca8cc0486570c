"""Logical names: each request once, however many attempts it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nodeagent.telemetry.measures.measure import Measure, Shown, classified, counter, from_zero, gauge, histogram
from nodeagent.telemetry.stats import ServiceStats


def measures(shown: Shown) -> Iterator[Measure]:
    """What callers got, whatever it took."""
    labels = ("router", "service")
    rows = [((service.router, service.name), service) for service in shown.services]
    yield counter(
        "service_requests",
        "Requests to a logical name, by what became of them after all retries.",
        (*labels, "classification"),
        [row for key, service in rows for row in classified(key, service)],
    )
    yield histogram(
        "service_request_duration_seconds",
        "Time from a request to a logical name to the head of its response, retries included.",
        labels,
        [(key, service.duration) for key, service in rows],
    )
    yield counter(
        "service_retries",
        "Retries, by reason: status, for the response; else why there was none, as in nodeagent_errors_total.",
        (*labels, "reason"),
        [
            ((*key, reason), count)
            for key, service in rows
            for reason, count in from_zero(service.retries, "status").items()
        ],
    )
    yield gauge(
        "service_retry_budget",
        "Retries that the budget of a logical name allows now.",
        labels,
        [(key, service.retry_budget()) for key, service in rows],
    )
    yield counter(
        "service_retry_budget_exhausted",
        "Retries not made because the budget was spent.",
        labels,
        [(key, service.budget_exhausted) for key, service in rows],
    )
    yield from _hedging([(key, service) for key, service in rows if service.hedge_delay or service.hedges])


def _hedging(rows: Sequence[tuple[tuple[str, str], ServiceStats]]) -> Iterator[Measure]:
    """Of the services that are hedged only."""
    labels = ("router", "service")
    yield counter(
        "service_hedges",
        "Second copies of attempts that took long, by whether theirs was the answer.",
        (*labels, "result"),
        [((*key, result), service.hedges[result]) for key, service in rows for result in ("won", "lost", "failed")],
    )
    yield counter(
        "service_hedge_budget_exhausted",
        "Second copies not sent because the budget was spent.",
        labels,
        [(key, service.hedge_budget_exhausted) for key, service in rows],
    )
    yield gauge(
        "service_hedge_delay_seconds",
        "After what time without an answer an attempt gets a second copy.",
        labels,
        [(key, service.hedge_delay) for key, service in rows],
    )
