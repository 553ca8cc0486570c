"""Configured namers, and how fresh their answers are."""

from __future__ import annotations

from collections.abc import Iterator

from nodeagent.telemetry.measures.measure import Measure, Shown, counter, gauge


def measures(shown: Shown) -> Iterator[Measure]:
    """What discovery delivered, and for how long it has been failing."""
    rows = [((namer.prefix,), namer) for namer in shown.registry.namers()]
    yield counter(
        "namer_updates",
        "Changes that a namer has delivered.",
        ("namer",),
        [(key, namer.updates) for key, namer in rows],
    )
    yield counter(
        "namer_errors",
        "Times a namer failed and kept its last good answer.",
        ("namer",),
        [(key, namer.errors) for key, namer in rows],
    )
    yield gauge(
        "namer_staleness_seconds",
        "For how long the source of an answer of a namer has been failing, of the answer with the longest time.",
        ("namer",),
        [(key, namer.staleness) for key, namer in rows],
    )
    yield gauge(
        "namer_overdue_answers",
        "Answers of a namer whose source has been failing for longer than maxStaleSecs.",
        ("namer",),
        [(key, namer.overdue_answers) for key, namer in rows],
    )
