"""The PROXY protocol as HAProxy writes and reads it: in front of the agent, and behind it."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.nodeagent.cli.processes import PATIENCE, fetch, ports, started
from tests.nodeagent.proxy.world import free_port

pytestmark = pytest.mark.e2e

HAPROXY = """\
global
  maxconn 100
defaults
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend callers
  mode tcp
  bind 127.0.0.1:{front}
  default_backend agent
backend agent
  mode tcp
  server agent 127.0.0.1:{agent} {send}
frontend endpoint
  mode http
  bind 127.0.0.1:{back} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port]"
"""

AGENT = """\
admin: {{port: 0}}
routers:
- protocol: http
  dtab: /svc => /$/inet/127.0.0.1/{back}
  client: {{proxyProtocol: {version}, healthCheck: {{kind: http, intervalMs: 100}}}}
  servers: [{{port: {agent}, proxyProtocol: true}}]
"""


@contextmanager
def haproxy(config: Path, port: int) -> Iterator[None]:
    """HAProxy with this configuration, once it listens on `port`."""
    program = shutil.which("haproxy")
    if program is None:
        pytest.skip("needs haproxy: apt-get install haproxy")
    with subprocess.Popen([program, "-db", "-q", "-f", str(config)]) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while not _listens(port):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield
        finally:
            process.kill()


def _listens(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.connect()
    except ConnectionRefusedError:
        return False
    finally:
        connection.close()
    return True


def _checks(admin: int) -> set[str]:
    """The results of the agent's health checks, once there were some."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        page = fetch(admin, f"127.0.0.1:{admin}", "/metrics")[1]
        if found := re.findall(r'(?m)^nodeagent_balancer_checks_total\{.*result="(\w+)"', page):
            return set(found)
        time.sleep(0.02)
    return set()


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_who_calls_is_told_from_haproxy_to_haproxy(version: str, send: str, tmp_path: Path) -> None:
    front, back, port = free_port(), free_port(), free_port()
    (tmp_path / "haproxy.cfg").write_text(HAPROXY.format(front=front, back=back, agent=port, send=send))
    (tmp_path / "agent.yaml").write_text(AGENT.format(back=back, agent=port, version=version))
    with haproxy(tmp_path / "haproxy.cfg", back), started("run", str(tmp_path / "agent.yaml")) as agent:
        admin = ports(agent, 2)["admin"]
        connection = HTTPConnection("127.0.0.1", front, timeout=PATIENCE)
        told = []
        for _ in range(2):
            connection.request("GET", "/", headers={"Host": "web"})
            told.append(connection.getresponse().read().decode())
        host, number = connection.sock.getsockname()
        connection.close()
        checks = _checks(admin)
        agent.signal(signal.SIGTERM)
        code, _, err = agent.end()

    assert told == [f"{host}:{number}"] * 2
    assert (code, checks) == (0, {"passed"}), err
