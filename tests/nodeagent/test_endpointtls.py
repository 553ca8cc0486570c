"""Files of TLS towards endpoints that cannot be used are told before a request needs them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import conf
from nodeagent.endpointtls import endpoint_hints
from tests.tls.authorities import Fleet
from tls.contexts import Contexts

CONFIG = """routers:
- protocol: http
  servers: [{{port: 0}}]
  client:
    kind: io.l5d.static
    configs:
    - prefix: /
      tls: {{commonName: web.example, trustCertsBundle: {0}/bundle.pem, clientAuth: {{certPath: {0}/cert.pem,
        keyPath: {0}/key.pem}}}}
    - prefix: /#/plain
      tls: {{enabled: false}}
"""

NOW = datetime.now(UTC)


def hints(folder: Path, more: str = "") -> list[str]:
    """What is said of the files in a folder, which is called F."""
    config = conf.load(CONFIG.format(folder) + more, "agent.yaml")
    return [str(each).replace(str(folder), "F") for each in endpoint_hints(config, Contexts())]


def test_files_in_order_are_nothing_to_talk_of(tmp_path: Path) -> None:
    Fleet.made(NOW).write(tmp_path, now=NOW)

    assert hints(tmp_path) == []


PLACE = "agent.yaml:8: routers[0].client.configs[0].tls: warning: "


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("bundle.pem", None, "F/bundle.pem: cannot be read: No such file or directory"),
        ("key.pem", b"-----BEGIN", "F/key.pem: not a private key in PEM form"),
        ("cert.pem", b"", "F/cert.pem: not certificates in PEM form"),
    ],
)
def test_the_file_is_named_with_the_place_that_names_it(
    tmp_path: Path, file: str, content: bytes | None, said: str
) -> None:
    Fleet.made(NOW).write(tmp_path, now=NOW)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)

    (hint,) = hints(tmp_path)
    assert hint.startswith(PLACE + said)


def test_a_certificate_that_has_expired_is_told_too(tmp_path: Path) -> None:
    Fleet.made(NOW).write(tmp_path, now=NOW - timedelta(days=3))

    (hint,) = hints(tmp_path)
    assert hint.startswith(f"{PLACE}F/cert.pem: the certificate has expired on ")


def test_what_the_agent_gets_itself_is_waited_for(tmp_path: Path) -> None:
    assert hints(tmp_path, f"identity: {{dir: {tmp_path}, ca: 'ca:4150', joinTokenPath: token}}") == []
