"""Two users at one port: what one may, the other may not. With processes, as the host has them."""

from __future__ import annotations

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.nodeagent.cli.processes import PATIENCE, backend
from tests.nodeagent.workers.running import Agent, running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be other users"),
]

APP, OTHER = 12345, 12346

CONFIG = """
workers: 2
admin: {{port: 0}}
routers:
- protocol: http
  label: out
  dtab: /svc/users => /$/inet/127.0.0.1/{port}
  servers: [{{port: 0}}]
  policy:
    default: deny
    rules:
    - name: app
      who: {{users: ["12345"]}}
      what: {{services: [/svc/users]}}
      action: allow
"""

ASK = """
import encodings.idna, os, socket, sys
os.setuid(int(sys.argv[2]))
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
sock.sendall(b"GET / HTTP/1.1\\r\\nHost: users\\r\\n\\r\\n")
sys.stdout.write(sock.recv(1000).decode().split()[1])
"""

SEND_AND_GO = """
import encodings.idna, os, socket, sys
os.setuid(int(sys.argv[2]))
for _ in range(20):
    sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
    sock.sendall(b"GET / HTTP/1.1\\r\\nHost: users\\r\\n\\r\\n")
    sock.close()
"""


def as_user(uid: int, program: str, port: int) -> str:
    """What a program prints that this user runs."""
    command = [sys.executable, "-c", program, str(port), str(uid)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def decisions(agent: Agent, rule: str, verdict: str) -> float:
    return agent.metric("nodeagent_policy_decisions_total", rule=rule, verdict=verdict)


def test_one_user_may_and_the_other_may_not(tmp_path: Path) -> None:
    served: list[str] = []

    def serve(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        served.append(request.path)
        return 200, "hello"

    with backend(serve) as port, running(tmp_path, CONFIG.format(port=port)) as agent:
        assert [as_user(APP, ASK, agent.port) for _ in range(4)] == ["200"] * 4
        assert [as_user(OTHER, ASK, agent.port) for _ in range(4)] == ["403"] * 4
        assert as_user(0, ASK, agent.port) == "403"
        as_user(OTHER, SEND_AND_GO, agent.port)

        assert decisions(agent, "app", "allow") == 4
        assert decisions(agent, "default", "deny") >= 5
        explained = agent.json(f"/explain.json?path=http://users/&as=uid:{OTHER}")["policy"]
    assert (explained["verdict"], explained["rule"]) == ("deny", "default")
    assert len(served) == 4
