"""The demo's services: small HTTP servers on loopback, each with its habit. An edge module."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import h11
import trio

from nodeagent.cli.demo_http import DISCONNECTED, read_message, render


@dataclass(frozen=True, slots=True)
class Habit:
    """How an instance answers: after `delay` seconds, and with a 500 in `failures` of all cases."""

    delay: float
    failures: float = 0.0


SERVICES: dict[str, tuple[Habit, ...]] = {
    "users": (Habit(0.003), Habit(0.003), Habit(0.003)),
    "orders": (Habit(0.005), Habit(0.005), Habit(0.250)),
    "payments": (Habit(0.004), Habit(0.004), Habit(0.004, failures=0.5)),
}
"""One steady, one with a slow instance, one with an instance that fails half the time."""


class Instance:
    """One server of a service."""

    def __init__(self, service: str, habit: Habit, rng: Random) -> None:
        """Take a free port; `run` serves on it. Raises OSError when there is none."""
        self.service = service
        self.habit = habit
        self.answered = 0
        """Requests, failed ones included."""
        self._rng = rng
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._socket.getsockname()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self.host}:{self.port}"

    async def run(self) -> None:
        """Serve until cancelled."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._socket))
        await trio.serve_listeners(self._converse, [listener])

    async def _converse(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        with suppress(*DISCONNECTED):
            async with stream:
                while isinstance(request := await read_message(connection, stream), h11.Request):
                    await trio.sleep(self.habit.delay)
                    await stream.send_all(self._answer(connection, request))
                    if connection.our_state is h11.MUST_CLOSE:
                        break
                    connection.start_next_cycle()

    def _answer(self, connection: h11.Connection, request: h11.Request) -> bytes:
        self.answered += 1
        fails = self._rng.random() < self.habit.failures
        what = "failed, as it does now and then" if fails else f"answered after {self.habit.delay * 1000:g} ms"
        body = f"{self.service}: {self.address} {what}\n".encode()
        headers = {"content-type": "text/plain", "content-length": str(len(body))}
        head = h11.Response(status_code=500 if fails else 200, headers=list(headers.items()))
        return render(connection, head, b"" if request.method == b"HEAD" else body)


def open_services(rng: Random) -> list[Instance]:
    """Take a port for each instance of SERVICES. Raises OSError."""
    return [Instance(service, habit, rng) for service, habits in SERVICES.items() for habit in habits]


def write_discovery(directory: Path, instances: list[Instance]) -> None:
    """Write a file for each service, one `host port` a line, as the fs namer reads them. Raises OSError."""
    for service in SERVICES:
        lines = [f"{each.host} {each.port}\n" for each in instances if each.service == service]
        (directory / service).write_text("".join(lines))
