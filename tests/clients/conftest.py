"""An agent as a process, services that it knows by files, and clients that know the agent by `nodeagent env` alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import NoEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

from tests.clients.client import Client, Curl, Program, Wget
from tests.clients.services import Service
from tests.nodeagent.cli.processes import NODEAGENT, fetch, ports, serving, started
from tests.nodeagent.proxy.world import free_port

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
UNDICI = "6.29.1"
"""The newest series that Debian 12's Node 18 can run."""

CONFIG = """
admin: {{port: 0}}
namers:
- {{kind: io.l5d.fs, rootDir: disco}}
routers:
- protocol: http
  label: outgoing
  dtab: /svc => /#/io.l5d.fs
  servers: [{{port: {port}}}]
"""


@dataclass(frozen=True)
class Mesh:
    """What runs, and the environment of a program that is to use it."""

    env: Mapping[str, str]
    trust: Path
    """A folder with the issuer of the services' certificates, as PEM and as Java's store."""
    users: Service
    proxy: int
    admin: int

    def connections(self) -> int:
        """How many connections the agent's listener has taken."""
        scope = f"rt/outgoing/server/127.0.0.1/{self.proxy}/connects"
        return int(json.loads(fetch(self.admin, "localhost", "/admin/metrics.json")[1])[scope])


@pytest.fixture(scope="package")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Services `users`, with and without TLS, `accounts`, and an `impostor` with the certificate of another."""
    folder = tmp_path_factory.mktemp("clients")
    ca = trustme.CA()
    write_trust(ca, folder)
    with ExitStack() as running:
        users, accounts = (running.enter_context(serving(Service(name))) for name in ("users", "accounts"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("users").configure_cert(context)
        secure = running.enter_context(serving(Service("users by TLS", context)))
        (folder / "disco").mkdir()
        for name, service in (("users", users), ("users:443", secure), ("accounts", accounts), ("impostor", secure)):
            (folder / "disco" / name).write_text(f"127.0.0.1 {service.server_port}\n")
        config, port = folder / "agent.yaml", free_port()
        config.write_text(CONFIG.format(port=port))
        agent = running.enter_context(started("run", "agent.yaml", cwd=folder, patience=300.0))
        admin = ports(agent, 2)["admin"]
        printed = subprocess.run(
            (*NODEAGENT, "env", "--config", config, "--shell", "json"), capture_output=True, check=True
        )
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            **json.loads(printed.stdout),
            "SSL_CERT_FILE": str(folder / "ca.pem"),
            "REQUESTS_CA_BUNDLE": str(folder / "ca.pem"),
            "NODE_EXTRA_CA_CERTS": str(folder / "ca.pem"),
        }
        yield Mesh(env, folder, users, port, admin)
        agent.signal(signal.SIGTERM)
        code, _, err = agent.end()
        assert (code, "Traceback" in err) == (0, False), err


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest, mesh: Mesh) -> Iterator[Client]:
    """The client that the test's parameter names."""
    client = CLIENTS[request.param](mesh)
    try:
        yield client
    finally:
        client.close()


def write_trust(ca: trustme.CA, folder: Path) -> None:
    """Write what clients trust: `ca.pem`, and `ca.p12` for Java."""
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    store = serialize_java_truststore([PKCS12Certificate(certificate, b"ca")], NoEncryption())
    (folder / "ca.p12").write_bytes(store)


def needs(command: str, package: str) -> None:
    """Skip the test where this command is missing."""
    if shutil.which(command) is None:
        pytest.skip(f"needs {package}: apt-get install {package}")


def python(library: str) -> Callable[[Mesh], Client]:
    """The program of this name in the interpreter of the tests."""

    def start(mesh: Mesh) -> Client:
        module = f"tests.clients.programs.with_{library}"
        return Program((sys.executable, "-W", "error", "-m", module), {**mesh.env, "PYTHONPATH": str(ROOT)})

    return start


def curl(mesh: Mesh) -> Client:
    needs("curl", "curl")
    return Curl(mesh.env)


def wget(mesh: Mesh) -> Client:
    needs("wget", "wget")
    return Wget(mesh.env)


def undici(mesh: Mesh) -> Client:
    needs("node", "nodejs")
    needs("npm", "npm")
    folder = ROOT / "build" / f"undici-{UNDICI}"
    if not (folder / "node_modules" / "undici" / "package.json").exists():
        install = ("npm", "install", "--silent", "--no-save", "--prefix", folder, f"undici@{UNDICI}")
        done = subprocess.run(install, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip(f"needs undici, and npm could not fetch it: {done.stderr.strip()}")
    return Program(("node", "--no-warnings", str(PROGRAMS / "undici.cjs"), str(folder)), mesh.env)


def java(mesh: Mesh) -> Client:
    needs("javac", "default-jdk-headless")
    trust = f"-Djavax.net.ssl.trustStore={mesh.trust / 'ca.p12'}"
    return Program(("java", trust, str(PROGRAMS / "JavaClient.java")), mesh.env)


CLIENTS: Mapping[str, Callable[[Mesh], Client]] = {
    "curl": curl,
    "wget": wget,
    "urllib": python("urllib"),
    "urllib3": python("urllib3"),
    "requests": python("requests"),
    "httpx": python("httpx"),
    "aiohttp": python("aiohttp"),
    "undici": undici,
    "java": java,
}
