"""Sends what is counted to a StatsD server, every few seconds.

UDP, so that a server that is slow, gone or never was costs nothing but the packets. Its name is followed by the agent's
own resolver, by its TTL; while it is not known, nothing is sent, and what was counted meanwhile goes out with the next
round.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
import trio

from conf.telemetry import AnyTelemeter, Statsd
from namer.addr import Addr, AddrBound, Endpoint
from namer.cell import Cell
from nodeagent.naming.naming import Naming
from nodeagent.telemetry.linkerd_names import parts
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.statsd import Lines, packets

AT_A_TIME: Final = 20
"""Names whose numbers are put together, and packets that are sent, before others get a turn."""
PAUSE: Final = 0.005
"""Seconds between two such lots of packets, so that the receiver's buffer has room for them."""

log = structlog.get_logger("nodeagent.statsd")


def pushes(
    telemetry: Sequence[AnyTelemeter], read: Callable[[], Awaitable[Registry]], naming: Naming
) -> list[StatsdPush]:
    """Return what a configuration wants to have sent. Their `run` is to be run beside that of `naming`."""
    wanted = [each for each in telemetry if isinstance(each, Statsd)]
    return [StatsdPush(each, read, naming.address(each.hostname, each.port)) for each in wanted]


class StatsdPush:
    """The task that sends to one StatsD server."""

    def __init__(self, config: Statsd, read: Callable[[], Awaitable[Registry]], addr: Cell[Addr]) -> None:
        """`read` returns what is counted now, and `addr` is where the server is."""
        self._config = config
        self._read = read
        self._addr = addr
        self._lines = Lines(config.prefix, config.sample_rate)
        self._trouble: str | None = None

    async def run(self) -> None:
        """Send a round each `gaugeIntervalMs`, until it is cancelled, which is safe. Raises nothing."""
        self._addr.subscribe(_nothing)  # so that it is followed
        try:
            while True:
                await trio.sleep(self._config.gauge_interval_ms / 1000)
                await self._round()
        finally:
            self._addr.unsubscribe(_nothing)

    async def _round(self) -> None:
        match self._addr.value:
            case AddrBound(endpoints=(endpoint, *_)):
                await self._send(endpoint)
            case _:
                self._note(f"no address of {self._config.hostname} is known: {self._addr.error or 'no answer yet'}")

    async def _send(self, endpoint: Endpoint) -> None:
        found = await self._packets()
        family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        problem = None
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            for number, packet in enumerate(found, 1):
                try:
                    sock.sendto(packet, (endpoint.host, endpoint.port))
                except OSError as error:
                    problem = error.strerror
                if number % AT_A_TIME == 0:
                    await trio.sleep(PAUSE)
        self._note(problem and f"packets to {endpoint.show()} are lost: {problem}")

    async def _packets(self) -> list[bytes]:
        lines: list[str] = []
        for number, part in enumerate(parts(await self._read()), 1):
            for metric in part():
                lines += self._lines.of(metric)
            if number % AT_A_TIME == 0:
                await trio.lowlevel.checkpoint()
        self._lines.next_round()
        return list(packets(lines))

    def _note(self, trouble: str | None) -> None:
        """Say what is wrong, and that it is well again, once each."""
        if trouble and self._trouble is None:
            log.warning("metrics do not reach StatsD", hostname=self._config.hostname, error=trouble)
        elif self._trouble and trouble is None:
            log.info("metrics reach StatsD again", hostname=self._config.hostname)
        self._trouble = trouble


def _nothing() -> None: ...
