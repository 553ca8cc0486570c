"""Mutual TLS as a user has it: two routers of a real agent with two workers, and curl."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from nodeagent.cli.main import main
from tests.namer.dns.real import free_port
from tests.nodeagent.cli.processes import backend, fetch, ports, started
from tests.nodeagent.servertls import NAME, Files

pytestmark = pytest.mark.e2e

CONFIG = """
workers: 2
admin: {{port: 0}}
routers:
- protocol: http
  label: outgoing
  dtab: /svc => /$/inet/127.0.0.1/{incoming}
  client:
    kind: io.l5d.static
    configs: [{{prefix: /, tls: {{commonName: {name}, trustCertsBundle: server/bundle.pem,
      clientAuth: {{certPath: client/cert.pem, keyPath: client/key.pem}}}}}}]
  servers: [{{port: 0}}]
- protocol: http
  label: incoming
  dtab: /svc => /$/inet/127.0.0.1/{service}
  servers: [{{port: {incoming}, tls: {{certPath: server/cert.pem, keyPath: server/key.pem,
    caCertPath: server/bundle.pem, requireClientAuth: true}}}}]
"""


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files.made(tmp_path)


def curl(files: Files, port: int, *options: str) -> tuple[int, str]:
    """Ask the incoming router, and return curl's exit code and what came."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    known = ("--cacert", f"{files.folder}/server/bundle.pem", "--connect-to", f"::127.0.0.1:{port}")
    command = ["curl", "-sS", "--max-time", "10", *known, *options, "-H", "Host: users", f"https://{NAME}/"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_agents_and_curl_are_let_in_with_a_certificate_and_only_so(files: Files) -> None:
    own = ("--cert", f"{files.folder}/client/cert.pem", "--key", f"{files.folder}/client/key.pem")
    incoming = free_port()
    with backend(lambda request: (200, request.headers.get("l5d-client-id", "nobody"))) as service:
        text = CONFIG.format(incoming=incoming, service=service, name=NAME)
        (files.folder / "agent.yaml").write_text(text)
        with started("run", "agent.yaml", cwd=files.folder) as agent:
            found = ports(agent, 3)
            through = [fetch(found["router outgoing"], "users", "/")[1] for _ in range(6)]
            let_in, refused = curl(files, incoming, *own), curl(files, incoming)
            page = fetch(found["admin"], "127.0.0.1", "/metrics")[1]
            agent.signal(signal.SIGTERM)
            code, _, err = agent.end()

    assert through == ["spiffe://mesh.example/host/db-7"] * 6
    assert let_in == (0, "spiffe://mesh.example/host/db-7")
    assert refused[0] != 0
    assert re.search(r'server_tls_failures_total\{reason="no_certificate",router="incoming",.*\} 1.0', page)
    assert page.count("nodeagent_tls_certificate_expiry_seconds{") == 2, "of the listener, and of the client"
    assert (code, "Traceback" in err) == (0, False), err


def test_an_agent_that_is_another_one_gets_nothing(files: Files) -> None:
    incoming = free_port()
    with backend(lambda request: (200, "never")) as service:
        text = CONFIG.format(incoming=incoming, service=service, name="web-2.example")
        with started("run", "-", cwd=files.folder, stdin=text) as agent:
            response, answer = fetch(ports(agent, 3)["router outgoing"], "users", "/")

    assert response.status == 502
    assert "error=tls_certificate_error" in (response.getheader("Proxy-Status") or "")
    assert "the certificate is refused" in answer


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda server: (server / "cert.pem").unlink(), "server/cert.pem: cannot be read: No such file or directory"),
        (lambda server: (server / "key.pem").write_text("x"), "server/key.pem: not a private key in PEM form"),
        (lambda server: (server / "bundle.pem").write_text(""), "server/bundle.pem: not certificates in PEM form"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_files_that_are_not_in_order_are_named_before_anything_is_opened(
    files: Files,
    break_it: object,
    said: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(files.folder)
    break_it(files.folder / "server")  # type: ignore[operator]
    Path("agent.yaml").write_text(CONFIG.format(incoming=1, service=2, name=NAME))

    assert main([command, "agent.yaml"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"agent\.yaml:\d+: routers\[1\]\.servers\[0\]\.tls: ", line)
    assert said in line
