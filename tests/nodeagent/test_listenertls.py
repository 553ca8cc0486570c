"""When somebody is told that a certificate nears its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import conf
from nodeagent.listenertls import ExpiryWarnings, ends_soon, expired, tls_faults
from tests.tls.authorities import Fleet
from tls.contexts import Contexts, Validity

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def certificate(days: float) -> dict[str, Validity]:
    return {"cert.pem": Validity("cert.pem", BEGIN, BEGIN + days * DAY)}


@pytest.mark.parametrize(
    ("lifetime", "warned_at"),
    [
        pytest.param(1, 0.8, id="a day: after four fifths of it"),
        pytest.param(90, 76, id="three months: two weeks before"),
        pytest.param(365, 351, id="a year: two weeks before"),
    ],
)
def test_the_warning_comes_once_in_time_and_once_more_at_the_end(lifetime: float, warned_at: float) -> None:
    warnings, held = ExpiryWarnings(), certificate(lifetime)
    hours = range(int(lifetime * 24) + 48)

    told = [hour / 24 for hour in hours if warnings.due(held, BEGIN + timedelta(hours=hour))]

    assert told == pytest.approx([warned_at, lifetime], abs=1 / 20)


def test_a_new_certificate_is_warned_of_anew() -> None:
    warnings = ExpiryWarnings()
    assert warnings.due(certificate(1), BEGIN + 0.9 * DAY)
    assert not warnings.due(certificate(2), BEGIN + 0.9 * DAY)
    assert warnings.due(certificate(2), BEGIN + 1.9 * DAY)


def test_what_has_expired_is_named() -> None:
    assert expired(certificate(1), BEGIN) is None
    assert expired(certificate(1), BEGIN + DAY) == "the certificate in cert.pem has expired on 2026-03-02 00:00:00 UTC"


AGENTS = """
routers:
- protocol: http
  client:
    kind: io.l5d.static
    configs:
    - prefix: /
      tls:
        agents: strict
        identity: spiffe://mesh.example/host/{node}
        trustCertsBundle: FOLDER/bundle.pem
        clientAuth: {certPath: FOLDER/cert.pem, keyPath: FOLDER/key.pem}
    - prefix: /$/inet
      tls: {commonName: example.org, trustCertsBundle: FOLDER/nothing.pem}
  servers: [{port: 0}]
"""


def test_what_is_called_agents_is_looked_at_before_anything_is_opened(tmp_path: Path) -> None:
    config = conf.load(AGENTS.replace("FOLDER", str(tmp_path)), "agent.yaml")
    Fleet.made(datetime.now(UTC)).write(tmp_path, now=datetime.now(UTC))
    assert list(tls_faults(config, Contexts())) == []

    (tmp_path / "key.pem").unlink()
    (fault,) = tls_faults(config, Contexts())
    place = "agent.yaml:9: routers[0].client.configs[0].tls"
    assert fault == f"{place}: {tmp_path}/key.pem: cannot be read: No such file or directory"


def test_what_ends_soon_is_named_until_it_has() -> None:
    assert ends_soon(certificate(1), BEGIN + 0.7 * DAY) == []
    assert ends_soon(certificate(1), BEGIN + 0.9 * DAY) == [
        "the certificate in cert.pem expires on 2026-03-02 00:00:00 UTC, and was not replaced"
    ]
    assert ends_soon(certificate(1), BEGIN + DAY) == []
