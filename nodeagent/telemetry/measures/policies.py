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
    answers = [
        (router, *answer.partition(" ")[::2], count)
        for router, answers in shown.registry.authorizers_by_router().items()
        for answer, count in answers.items()
    ]
    yield counter(
        "policy_questions",
        "Questions to authorizers, by result; remembered: the answer to the same question still holds, failed: none.",
        ("router", "authorizer", "result"),
        [((router, name, result), count) for router, result, name, count in answers if result != "microseconds"],
    )
    yield counter(
        "policy_questions_seconds",
        "How long the answers of authorizers took, those that failed too, all together.",
        ("router", "authorizer"),
        [((router, name), count / 1e6) for router, result, name, count in answers if result == "microseconds"],
    )
