"""All endpoints of an experiment in one process: `python -m bench.resilience.backends SCENARIO CONTROL PORT...`.

It keeps when each of them was asked. Requests for PATH are the callers', those for CHECK are health checks, which are
answered like any other: as late, and as often with 500. What else comes is answered and not counted. The control
port takes `/begin/SECONDS`, the monotonic clock at which counted time begins, and gives `/arrivals`.

This is asyncio and not trio, as is the load: a callback per event costs a third, and both share a core.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec

from bench.resilience.scenario import Backend, Scenario

PATH = "/"
CHECK = "/health"
BODY = b"b" * 128

_HEAD = b"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"


def reply(status: int, body: bytes = BODY) -> bytes:
    """A whole response."""
    return _HEAD % (status, b"OK" if status == 200 else b"Internal Server Error", len(body)) + body


OK, FAILED = reply(200), reply(500)


@dataclass(slots=True)
class Arrivals:
    """When each backend was asked, in seconds of counted time, in order; and how often it was checked."""

    at: list[list[float]] = field(default_factory=list)
    checks: list[int] = field(default_factory=list)
    cpu: float = 0.0
    """Seconds of processor time that the process has used since counted time was announced."""


class Endpoint:
    """Decides when and what one backend answers; pure but for its random numbers."""

    def __init__(self, backend: Backend, scenario: Scenario | None, seed: int) -> None:
        """*scenario* says when it is slow; None is never."""
        self.arrivals: list[float] = []
        self.checks = 0
        self._backend = backend
        self._scenario = scenario
        self._random = random.Random(seed)

    def asked(self, path: str, now: float) -> tuple[float, bytes]:
        """Note a request at *now* seconds of counted time; how long it takes, and the response."""
        if path == PATH:
            self.arrivals.append(round(now, 4))
        elif path == CHECK:
            self.checks += 1
        backend, scenario = self._backend, self._scenario
        answer = OK if backend.success == 1.0 or self._random.random() < backend.success else FAILED
        if scenario and scenario.slowness and scenario.slow_from <= now < scenario.slow_until:
            return scenario.slowness.delay, answer
        delay = self._random.gauss(backend.delay, backend.deviation) if backend.deviation else backend.delay
        return max(0.0, delay), answer


Respond = Callable[[str], tuple[float, bytes]]


class Conversation(asyncio.Protocol):
    """One connection of an endpoint: requests without bodies, one after the other."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._held = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._held += data
        head, end, rest = self._held.partition(b"\r\n\r\n")
        if not end:
            return
        self._held = rest
        delay, answer = self._respond(head.split(b" ", 2)[1].decode())
        if delay:
            self._timer = asyncio.get_running_loop().call_later(delay, self._transport.write, answer)
        else:
            self._transport.write(answer)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Called by the loop. What was not answered yet never is."""
        if self._timer is not None:
            self._timer.cancel()


class Backends:
    """The endpoints of a scenario, on one clock."""

    def __init__(self, scenario: Scenario, clock: Callable[[], float], cpu: Callable[[], float]) -> None:
        """*clock* is the monotonic one, *cpu* the processor time used so far."""
        self.endpoints = [
            Endpoint(backend, scenario if number == 0 else None, seed=number)
            for number, backend in enumerate(scenario.backends)
        ]
        self._clock, self._cpu = clock, cpu
        self._begin = float("inf")
        self._spent = 0.0

    def respond(self, number: int, path: str) -> tuple[float, bytes]:
        """What the endpoint *number* does now."""
        return self.endpoints[number].asked(path, self._clock() - self._begin)

    def control(self, path: str) -> tuple[float, bytes]:
        """What the control port answers."""
        if path == "/arrivals":
            arrivals = Arrivals(
                at=[each.arrivals for each in self.endpoints],
                checks=[each.checks for each in self.endpoints],
                cpu=self._cpu() - self._spent,
            )
            return 0.0, reply(200, msgspec.json.encode(arrivals))
        if path.startswith("/begin/"):
            self._begin = float(path.removeprefix("/begin/"))
            self._spent = self._cpu()
        return 0.0, OK


async def serve(scenario: Scenario, control: int, ports: list[int]) -> None:
    """Listen on 127.0.0.1 until cancelled."""
    loop = asyncio.get_running_loop()
    backends = Backends(scenario, loop.time, time.process_time)
    for number, port in enumerate(ports):
        protocol = partial(Conversation, partial(backends.respond, number))
        await loop.create_server(protocol, "127.0.0.1", port, backlog=4096)
    await loop.create_server(partial(Conversation, backends.control), "127.0.0.1", control)
    await loop.create_future()


def main(arguments: list[str]) -> None:
    """Serve the scenario that the first argument spells out as JSON."""
    gc.disable()  # a pause would look like a slow endpoint
    scenario, control, *ports = arguments
    asyncio.run(serve(msgspec.json.decode(scenario, type=Scenario), int(control), [int(port) for port in ports]))


if __name__ == "__main__":
    main(sys.argv[1:])
