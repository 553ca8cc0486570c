"""The agent that gets its certificate itself, as a user has it: an authority, and two workers of one host."""

from __future__ import annotations

import json
import signal
import ssl
import time
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from nodeagent.cli.main import main
from tests.nodeagent.cli.processes import backend, fetch, ports, started
from tls.pair import read_certificates

pytestmark = pytest.mark.e2e

CONFIG = """
workers: 2
admin: {{port: 0}}
identity: {{dir: identity, ca: "127.0.0.1:{ca}", joinTokenPath: join-token}}
routers:
- protocol: http
  dtab: /svc => /$/inet/127.0.0.1/{service}
  servers:
  - port: 0
    tls:
      certPath: identity/cert.pem
      keyPath: identity/key.pem
      caCertPath: identity/bundle.pem
      requireClientAuth: true
"""


def ca(*arguments: str) -> None:
    """One of the commands of the authority."""
    assert main(["ca", *arguments]) == 0


def call(port: int) -> tuple[str, bytes]:
    """Ask through TLS with the certificate of the host itself; returns who it says calls, and what it showed."""
    context = ssl.create_default_context(cafile="identity/bundle.pem")
    context.load_cert_chain("identity/cert.pem", "identity/key.pem")
    context.check_hostname = False
    connection = HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    try:
        connection.connect()
        shown = connection.sock.getpeercert(binary_form=True) or b""
        connection.request("GET", "/", headers={"Host": "users"})
        return connection.getresponse().read().decode(), shown
    finally:
        connection.close()


def current() -> bytes:
    """The certificate that the host has now."""
    return read_certificates("cert.pem", Path("identity/cert.pem").read_bytes())[0].public_bytes(Encoding.DER)


def test_a_host_joins_when_it_is_started_and_renews_as_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ca("init", "ca", "--domain", "mesh.example")
    capsys.readouterr()
    ca("token", "ca", "--host", "web-1")
    Path("join-token").write_text(capsys.readouterr().out)
    Path("join-token").chmod(0o600)
    service = backend(lambda request: (200, request.headers.get("l5d-client-id", "nobody")))
    with started("ca", "serve", "ca", "--listen", "127.0.0.1:0", "--lifetime", "1m") as authority, service as port:
        Path("agent.yaml").write_text(CONFIG.format(ca=ports(authority, 1)["ca"], service=port))
        assert main(["check", "agent.yaml"]) == 0, "its files come with its start"
        with started("run", "agent.yaml") as agent:
            found = ports(agent, 2)
            until = time.monotonic() + 15
            while not (page := json.loads(fetch(found["admin"], "127.0.0.1", "/identity.json")[1]))["renewals"]:
                assert time.monotonic() < until
                time.sleep(0.1)
            while (answer := call(found["router http"]))[1] != current():
                assert time.monotonic() < until
                time.sleep(0.1)
            metrics = fetch(found["admin"], "127.0.0.1", "/metrics")[1]
            agent.signal(signal.SIGTERM)
            code, _, err = agent.end()

    assert answer[0] == page["identity"] == "spiffe://mesh.example/host/web-1"
    assert page["error"] is None
    assert 'nodeagent_identity_renewals_total{result="failure"} 0.0' in metrics
    assert 'nodeagent_tls_certificate_expiry_seconds{certificate="identity/cert.pem"}' in metrics
    assert err.count("this host has joined") == 1, "whatever the number of workers"
    assert (code, "Traceback" in err) == (0, False), err


def test_who_cannot_join_does_not_start_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("agent.yaml").write_text(CONFIG.format(ca=1, service=1))

    assert main(["run", "agent.yaml"]) == 1
    assert capsys.readouterr().err == (
        "nodeagent: identity: identity/cert.pem: there is no certificate yet, and joining by the token in join-token "
        "fails: no such file or directory\n"
    )
