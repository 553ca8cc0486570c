"""Concrete names: each attempt, retries and repeats included."""

from __future__ import annotations

from collections.abc import Iterator

from nodeagent.telemetry.measures.measure import Measure, Shown, classified, counter, from_zero, gauge, histogram


def measures(shown: Shown) -> Iterator[Measure]:
    """What was asked of endpoints."""
    labels = ("router", "client")
    rows = [((client.router, client.name), client) for client in shown.clients]
    yield counter(
        "client_requests",
        "Attempts at endpoints of a concrete name, by what became of them; connecting is part of one.",
        (*labels, "classification"),
        [row for key, client in rows for row in classified(key, client)],
    )
    yield histogram(
        "client_request_duration_seconds",
        "Time of one attempt, from choosing an endpoint to the head of its response.",
        labels,
        [(key, client.duration) for key, client in rows],
    )
    yield gauge(
        "client_connections",
        "Connections open to the endpoints of a concrete name.",
        labels,
        [(key, client.connections) for key, client in rows],
    )
    yield counter(
        "client_transports",
        "Connections made where TLS to the endpoints is configured; mtls: to agents, both sides verified, tls: to the "
        "endpoints themselves, plain: to endpoints without an agent, where that is allowed.",
        (*labels, "transport"),
        [((*key, kind), count) for key, client in rows for kind, count in client.transports.items()],
    )
    yield counter(
        "client_connect_failures",
        "Connections that could not be made, by reason.",
        (*labels, "reason"),
        [
            ((*key, reason), count)
            for key, client in rows
            for reason, count in from_zero(client.connect_failures, "connection_refused", "connection_timeout").items()
        ],
    )
    yield counter(
        "client_requeues",
        "Attempts repeated because nothing of them had been sent.",
        labels,
        [(key, client.requeues) for key, client in rows],
    )
    yield gauge(
        "client_requeue_budget",
        "Attempts at what was never sent that the budget of a concrete name allows now.",
        labels,
        [(key, sum(reading.requeue_budget for reading in client.balancers())) for key, client in rows],
    )
    yield counter(
        "client_requeues_refused",
        "Attempts at what was never sent that were not made, because too little was left of the budget.",
        labels,
        [(key, client.requeue_budget_exhausted + client.requeue_limits) for key, client in rows],
    )
