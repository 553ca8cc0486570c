"""What became of spans."""

from __future__ import annotations

from collections.abc import Iterator

from nodeagent.telemetry.measures.measure import Measure, Shown, counter


def measures(shown: Shown) -> Iterator[Measure]:
    """Spans, by what became of them."""
    yield counter(
        "trace_spans",
        "Spans of recorded requests, by result; dropped: the queue was full, failed: the collector did not take them.",
        ("exporter", "result"),
        [
            ((exporter, result), counts[result])
            for exporter, counts in shown.registry.spans_by_exporter().items()
            for result in ("exported", "dropped", "failed")
        ],
    )
