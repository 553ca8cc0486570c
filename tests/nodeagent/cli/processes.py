"""Real processes and a real backend for the tests that need them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

PATIENCE = 20.0
"""Seconds after which a process that should have spoken or ended is killed, and the test fails."""

NODEAGENT = (sys.executable, "-W", "error", "-m", "nodeagent")


class Process:
    """A running `nodeagent`; what it says on stderr is kept for the end."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self._popen = popen

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def read_line(self) -> str:
        """The next line of stdout, "" at its end."""
        assert self._popen.stdout is not None
        return self._popen.stdout.readline().rstrip("\n")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Wait for its end and return exit code, the rest of stdout, and stderr."""
        out, err = self._popen.communicate()
        return self._popen.returncode, out, err


@contextmanager
def started(
    *arguments: str,
    cwd: Path | None = None,
    stdin: str = "",
    env: dict[str, str] | None = None,
    patience: float = PATIENCE,
) -> Iterator[Process]:
    """`nodeagent` with these arguments, killed at the end of the block or when it takes too long (seconds)."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        (*NODEAGENT, *arguments), cwd=cwd, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as popen:
        assert popen.stdin is not None
        popen.stdin.write(stdin)
        popen.stdin.close()
        popen.stdin = None
        killer = threading.Timer(patience, popen.kill)
        killer.start()
        try:
            yield Process(popen)
        finally:
            killer.cancel()
            popen.kill()


def ports(process: Process, listeners: int) -> dict[str, int]:
    """Read the lines that tell of the listeners, and return the port of each; of a router with several, the first."""
    found: dict[str, int] = {}
    for _ in range(listeners):
        line = process.read_line()
        match = re.fullmatch(r"listening: (.+) on \S+:(\d+)", line)
        assert match, line or process.end()
        found.setdefault(match[1], int(match[2]))
    return found


Answer = Callable[[BaseHTTPRequestHandler], tuple[int, str]]


@contextmanager
def backend(answer: Answer) -> Iterator[int]:
    """A real HTTP server on a free port, whose answers are what `answer` returns for each request."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, text = answer(self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield server.server_port


S = TypeVar("S", bound=ThreadingHTTPServer)


@contextmanager
def serving(server: S) -> Iterator[S]:
    """Serve in threads for the time of the block."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def fetch(
    port: int, host: str, path: str = "/", *, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[HTTPResponse, str]:
    """One request to a port of this host, on a connection of its own, and its whole answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers={"Host": host, **(headers or {})})
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()
