"""What was decided of who may call what."""

from __future__ import annotations

from collections.abc import Iterator

from nodeagent.telemetry.measures.measure import Measure, Shown, counter


def measures(shown: Shown) -> Iterator[Measure]:
    """Decisions by the rules of routers."""
    counted = [
        (router, *decision.partition(" ")[::2], count)
        for router, decisions in shown.registry.policies_by_router().items()
        for decision, count in decisions.items()
    ]
    yield counter(
        "policy_decisions",
        "Requests judged by the rules of a router; audit: let pass, and a rule would have refused it.",
        ("router", "verdict", "rule"),
        [((router, verdict, rule), count) for router, verdict, rule, count in counted],
    )
