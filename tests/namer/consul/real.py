"""A real Consul of one's own: started on free ports of this host, with its data in memory, ended for sure."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

BINARY = os.environ.get("CONSUL") or shutil.which("consul")
needs_consul = pytest.mark.skipif(
    BINARY is None, reason='needs Consul on PATH or in $CONSUL: export CONSUL="$(.ci/get-consul)"'
)
PATIENCE = 20.0


class RealConsul:
    """One agent in development mode; it may be ended and started again, with nothing but its ports left."""

    def __init__(self) -> None:
        with ExitStack() as sockets:
            bound = [sockets.enter_context(socket.socket()) for _ in range(5)]
            for each in bound:
                each.bind(("127.0.0.1", 0))
            self.port, *self._ports = (int(each.getsockname()[1]) for each in bound)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it has a leader."""
        names = ("dns", "server", "serf-lan", "serf-wan")
        ports = [
            option for name, port in zip(names, self._ports, strict=True) for option in (f"-{name}-port", str(port))
        ]
        command = [str(BINARY), "agent", "-dev", "-bind", "127.0.0.1", "-client", "127.0.0.1"]
        command += ["-http-port", str(self.port), *ports, "-grpc-port", "-1", "-disable-host-node-id"]
        command += ["-node", "n1", "-log-level", "err"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not self._has_leader():
            assert time.monotonic() < deadline, "Consul has no leader"
            time.sleep(0.1)

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT, SIGKILL."""
        assert self._process is not None
        self._process.send_signal(number)
        if number == signal.SIGKILL:
            self._process.wait()

    def put(self, path: str, value: Any) -> None:
        """PUT a value of JSON, or a text as it is."""
        status, text = self._ask("PUT", path, value if isinstance(value, str) else json.dumps(value))
        assert status == 200, text

    def register(self, name: str, port: int, ident: str, **more: Any) -> None:
        """An instance on 127.0.0.1 with a check that passes until it is told otherwise."""
        check = {"CheckID": f"check-{ident}", "TTL": "1h", "Status": "passing"}
        service = {"Name": name, "ID": ident, "Address": "127.0.0.1", "Port": port, "Check": check}
        self.put("/v1/agent/service/register", service | more)

    def close(self) -> None:
        """End it, in whatever state it is."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _has_leader(self) -> bool:
        try:
            status, text = self._ask("GET", "/v1/health/service/consul")
        except OSError:
            return False
        return status == 200 and text.strip() != "[]"

    def _ask(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@contextmanager
def real_consul() -> Iterator[RealConsul]:
    """A Consul that runs until the end of the block."""
    consul = RealConsul()
    try:
        consul.start()
        yield consul
    finally:
        consul.close()
