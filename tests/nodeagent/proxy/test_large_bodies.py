"""Bodies of a gibibyte pass through an agent that keeps nothing of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path

import pytest

from tests.nodeagent.cli.processes import PATIENCE, ports, serving, started

pytestmark = pytest.mark.e2e

PIECE = bytes(1 << 20)
PIECES = 1 << 10
SIZE = len(PIECE) * PIECES
GROWTH = 16 << 10
"""KiB that the agent may take more than before."""

CONFIG = """
admin: {{port: 0}}
routers:
- {{protocol: http, label: out, dtab: /svc/web => /$/inet/127.0.0.1/{port}, servers: [{{port: 0}}]}}
"""


class Large(BaseHTTPRequestHandler):
    """Sends a gibibyte, or counts what it is sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        for piece in repeat(PIECE, PIECES):
            self.wfile.write(piece)

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        while left and (piece := self.rfile.read1(min(left, len(PIECE)))):
            left -= len(piece)
        self.send_response(200 if left == 0 else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_a_download_of_one_gibibyte(tmp_path: Path) -> None:
    with started_agent(tmp_path) as (pid, caller):
        before = peak(pid)
        caller.request("GET", "/", headers={"Host": "web"})
        response = caller.getresponse()
        received = sum(map(len, iter(lambda: response.read1(len(PIECE)), b"")))
        after = peak(pid)

    assert (response.status, received) == (200, SIZE)
    assert after - before < GROWTH


def test_an_upload_of_one_gibibyte(tmp_path: Path) -> None:
    with started_agent(tmp_path) as (pid, caller):
        before = peak(pid)
        caller.request("PUT", "/", repeat(PIECE, PIECES), {"Host": "web", "Content-Length": str(SIZE)})
        response = caller.getresponse()
        after = peak(pid)

    assert response.status == 200
    assert after - before < GROWTH


@contextmanager
def started_agent(folder: Path) -> Iterator[tuple[int, HTTPConnection]]:
    """An agent as a process before a backend: its process id, and a connection to it that has served a little."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Large)) as backend:
        (folder / "agent.yaml").write_text(CONFIG.format(port=backend.server_port))
        with started("run", "agent.yaml", cwd=folder, patience=3 * PATIENCE) as agent:
            proxy = ports(agent, 2)["router out"]
            with closing(HTTPConnection("127.0.0.1", proxy, timeout=PATIENCE)) as caller:
                caller.request("PUT", "/", b"a little", {"Host": "web"})
                assert caller.getresponse().read() == b""
                yield agent.pid, caller


def peak(pid: int) -> int:
    """The most memory that a process has ever taken, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])
