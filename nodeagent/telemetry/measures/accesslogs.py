"""What was logged of requests."""

from __future__ import annotations

from collections.abc import Iterator

from nodeagent.telemetry.measures.measure import Measure, Shown, counter


def measures(shown: Shown) -> Iterator[Measure]:
    """Lines of the access logs."""
    yield counter(
        "access_log_lines",
        "Lines of the access log; dropped: they could not be written, or not soon enough.",
        ("router", "result"),
        [
            ((router, result), count)
            for router, lines in shown.registry.access_logs_by_router().items()
            for result, count in lines.items()
        ],
    )
