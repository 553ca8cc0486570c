"""The certificates that the agent shows."""

from __future__ import annotations

from collections.abc import Iterator

from nodeagent.telemetry.measures.measure import Measure, Shown, gauge


def measures(shown: Shown) -> Iterator[Measure]:
    """When they expire."""
    yield gauge(
        "tls_certificate_expiry_seconds",
        "When a certificate of the agent's own expires, in seconds since 1970, by its file.",
        ("certificate",),
        [((file,), expires) for file, expires in shown.registry.survey_certificates().items()],
    )
