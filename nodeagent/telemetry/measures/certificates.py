"""The certificates of the agent's own."""

from __future__ import annotations

from collections.abc import Iterator

from nodeagent.telemetry.measures.measure import Measure, Shown, counter, gauge


def measures(shown: Shown) -> Iterator[Measure]:
    """When they expire, and how the one of this host is renewed."""
    yield gauge(
        "tls_certificate_expiry_seconds",
        "When a certificate of the agent's own expires, in seconds since 1970, by its file.",
        ("certificate",),
        [((file,), expires) for file, expires in shown.registry.survey_certificates().items()],
    )
    renewals = shown.registry.survey_identity()
    yield counter(
        "identity_renewals",
        "Tries to renew the certificate of this host (`identity`), by result: success or failure.",
        ("result",),
        [] if renewals is None else [(("success",), renewals.done), (("failure",), renewals.failed)],
    )
    yield gauge(
        "identity_renewal_due_seconds",
        "When the certificate of this host is renewed, in seconds since 1970.",
        (),
        [] if renewals is None or renewals.due is None else [((), renewals.due)],
    )
