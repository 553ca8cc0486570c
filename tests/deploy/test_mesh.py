"""Two hosts with an agent, one without: what is on the cable between them, who is let in, a rotation under load."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from tests.deploy.hosts import Host, hosts, records, streams, version_of
from tests.tls.authorities import Fleet

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not (shutil.which("tcpdump") and shutil.which("ip")),
        reason="needs tcpdump and ip: apt-get install tcpdump iproute2",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for networks of its own"),
]

SECRET = "what-nobody-else-may-read"

OUTGOING = """
- protocol: http
  label: {mode}
  dtab: /svc => /#/io.l5d.fs
  client:
    clientSession: {{lifeTimeMs: 50}}
    tls:
      agents: {mode}
      identity: spiffe://mesh.example/host/{{node}}
      trustCertsBundle: identity/bundle.pem
      crlPath: identity/crl.pem
      clientAuth: {{certPath: identity/cert.pem, keyPath: identity/key.pem}}
  servers: [{{port: {port}, ip: 127.0.0.1}}]
"""

CONFIG = f"""
admin: {{port: 9990}}
namers: [{{kind: io.l5d.fs, rootDir: disco}}]
routers:{OUTGOING.format(mode="strict", port=4140)}{OUTGOING.format(mode="opportunistic", port=4142)}
- protocol: http
  label: incoming
  dtab: /svc => /#/io.l5d.fs
  interpreter: {{transformers: [{{kind: io.l5d.localhost}}]}}
  policy:
    default: deny
    rules:
    - who: {{identities: ["spiffe://mesh.example/host/a"]}}
      what: {{methods: [GET]}}
      action: allow
  servers:
  - port: 4141
    ip: 0.0.0.0
    callers: {{identities: ["spiffe://mesh.example/host/a", "spiffe://mesh.example/host/known"]}}
    tls:
      certPath: identity/cert.pem
      keyPath: identity/key.pem
      caCertPath: identity/bundle.pem
      crlPath: identity/crl.pem
      requireClientAuth: true
"""

ON_B, ON_C = "10.77.1.2 8080 node=b agent=4141\n", "10.77.2.2 8080 node=c\n"


def at_once(*calls: Callable[[], object]) -> None:
    """Make these calls, all at a time."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(call) for call in calls]:
            done.result()


def metrics(host: Host, name: str) -> dict[str, float]:
    """The samples of a metric on a host, by their labels."""
    ((_, page),) = host.ask(9990, "localhost", "/metrics")
    found = re.findall(rf"^nodeagent_{name}\{{(.*)\}} (\S+)$", page, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_two_hosts(tmp_path: Path) -> None:
    with hosts(tmp_path, "a", "b", "c") as (a, b, c), b.recording("eth0") as capture, ExitStack() as running:
        join(running, a, b)
        seen_b = running.enter_context(b.serving("10.77.1.2", 8080))
        seen_c = running.enter_context(c.serving("10.77.2.2", 8080))
        agents = [host.running("run", "agent.yaml", listeners=4) for host in (a, b)]
        at_once(*(partial(running.enter_context, agent) for agent in agents))

        assert a.ask(4140, "users", f"/?{SECRET}") == [(200, "b")]
        assert seen_b[0]["host"] == "users"
        assert seen_b[0]["l5d-client-id"] == "spiffe://mesh.example/host/a"

        rotate_under_load(a, b)

        assert set(a.ask(4140, "both", times=10)) == {(200, "b")}
        assert set(a.ask(4142, "both", times=40)) == {(200, "b"), (200, "c")}
        assert "l5d-client-id" not in seen_c[0]
        used = [dict(re.findall(r'(\w+)="(.*?)"', labels)) for labels in metrics(a, "client_transports_total")]
        assert {(each["router"], each["transport"]) for each in used} == {
            ("strict", "mtls"),
            ("opportunistic", "mtls"),
            ("opportunistic", "plain"),
        }

        # Those who are refused speak plain on the same cable, so it is looked at before.
        nothing_but_tls(settled(capture))
        who_is_not_listed_is_refused(a, b, tmp_path)
        with pytest.raises(AssertionError):
            nothing_but_tls(settled(capture))  # which would have noticed


def settled(capture: Path) -> bytes:
    """What was captured, once nothing is added to it."""
    before, now = b"", capture.read_bytes()
    while before != now:
        time.sleep(0.1)
        before, now = now, capture.read_bytes()
    return now


def join(stack: ExitStack, a: Host, b: Host) -> None:
    """Give two hosts what they need: certificates by the two commands, and a configuration."""
    a.run("ca", "init", "ca", "--domain", "mesh.example")
    stack.enter_context(a.running("ca", "serve", "ca", "--listen", "10.77.1.1:4150", listeners=1))

    def joined(host: Host) -> None:
        (host.folder / "agent.yaml").write_text(CONFIG)
        (host.folder / "disco").mkdir()
        (host.folder / "disco" / "users").write_text(ON_B)
        (host.folder / "disco" / "both").write_text(ON_B + ON_C)
        token = a.run("ca", "token", "ca", "--host", host.name).strip()
        host.run("ca", "join", "--ca", "10.77.1.1:4150", "--token", token, "--out", "identity")

    at_once(lambda: joined(a), lambda: joined(b))


def rotate_under_load(a: Host, b: Host) -> None:
    """New certificates for both while requests flow: none is lost, and the new ones are used."""
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def load() -> None:
        while not over.is_set():
            answers.extend(a.ask(4140, "users", times=20))
            time.sleep(0.02)  # or the load takes the time of all else

    def ends(host: Host) -> dict[str, float]:
        return metrics(host, "tls_certificate_expiry_seconds")

    loading = threading.Thread(target=load)
    loading.start()
    try:
        before = ends(a), ends(b)
        at_once(lambda: a.run("ca", "renew", "identity"), lambda: b.run("ca", "renew", "identity"))
        deadline = time.monotonic() + 10
        while ends(a) == before[0] or ends(b) == before[1]:
            assert time.monotonic() < deadline, "the new certificates are not used"
            time.sleep(0.1)
        count = len(answers)
        while len(answers) < count + 60:
            time.sleep(0.01)
    finally:
        over.set()
        loading.join()
    assert set(answers) == {(200, "b")}
    assert sum(metrics(b, "server_tls_handshakes_total").values()) > 3


def nothing_but_tls(capture: bytes) -> None:
    """All that the two hosts have said to each other is records of TLS, and what the servers chose is 1.3."""
    assert SECRET.encode() not in capture
    assert b"HTTP/1.1" not in capture
    said = streams(capture)
    servers = {key: stream for key, stream in said.items() if key[0][-2:] == (4141).to_bytes(2, "big")}
    assert len(servers) > 3
    for key, stream in said.items():
        parts = records(stream)
        if key in servers and parts:
            assert (parts[0][0], version_of(parts[0][1])) == (22, b"\x03\x04")


def who_is_not_listed_is_refused(a: Host, b: Host, folder: Path) -> None:
    """Who has no certificate of the authority, or may not connect, gets no answer; others get one by the rules."""
    (folder / "stranger").mkdir()
    Fleet.made(datetime.now(UTC)).write(folder / "stranger", "a", datetime.now(UTC))
    for name in ("known", "unknown"):
        a.run("ca", "issue", "ca", "--host", name, "--out", name)

    def ask(context: ssl.SSLContext | None) -> bytes:
        with socket.create_connection(("10.77.1.2", 4141), timeout=5) as plain, suppress(OSError):
            if context is None:
                return said_to(plain)
            with context.wrap_socket(plain) as wire:
                return said_to(wire)
        return b""

    def said_to(wire: socket.socket) -> bytes:
        wire.sendall(b"GET / HTTP/1.1\r\nHost: users\r\n\r\n")
        return wire.recv(100)

    def who(identity: Path | None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if identity is not None:
            context.load_cert_chain(identity / "cert.pem", identity / "key.pem")
        return context

    for caller in (None, who(None), who(folder / "stranger"), who(a.folder / "unknown")):
        assert a.within(partial(ask, caller)) == b""
    assert a.within(partial(ask, who(a.folder / "known"))).startswith(b"HTTP/1.1 403 ")
    reasons = {re.sub(r'.*reason="(\w+)".*', r"\1", each) for each in metrics(b, "server_tls_failures_total")}
    assert {"plain_http", "no_certificate", "certificate_untrusted"} <= reasons
    assert sum(metrics(b, "server_connections_denied_total").values()) == 1
    denied = [value for labels, value in metrics(b, "policy_decisions_total").items() if 'verdict="deny"' in labels]
    assert denied == [1]
