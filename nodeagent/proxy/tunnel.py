"""Opaque bytes both ways between two connections. An edge.

Each direction ends by itself: the end of one is passed on as a half-close (RFC 9293, 3.6) while the other goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import trio

from nodeagent.proxy.splice import BULK, burst, can_splice
from nodeagent.proxy.wire import CLOSED, Wire
from nodeagent.telemetry.tunnels import TunnelStats

SLACK = 1 / 16
"""Of the idle time: by so much more a tunnel may be silent before it ends, once something has moved."""

Opened: TypeAlias = tuple[Wire, Callable[[bool], None]]
"""A backend's connection for a tunnel, and what must be told once when it is over: whether neither side broke off."""


class Tunnel:
    """Two wires joined until both have ended, one broke, or nothing moved for `idle` seconds."""

    def __init__(self, client: Wire, backend: Wire, idle: float = math.inf) -> None:
        self.client = client
        self.backend = backend
        self._idle = idle
        self._scope = trio.CancelScope()
        self._postponed_at = -math.inf
        self._now: Callable[[], float] = trio.lowlevel.current_clock().current_time
        self.sent = 0
        """Bytes from client to backend."""
        self.received = 0
        """Bytes from backend to client."""
        self.broken = False
        """One side was reset."""

    async def run(self) -> None:
        """Relay until the end, then close both. Cancelling closes both."""
        try:
            with self._scope:
                self._scope.deadline = self._now() + self._idle
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._upward)
                    await self._downward()
        finally:
            self.client.close()
            self.backend.close()

    async def _upward(self) -> None:
        await self._relay(self.client, self.backend, self._sent)

    async def _downward(self) -> None:
        await self._relay(self.backend, self.client, self._received)

    async def _relay(self, source: Wire, sink: Wire, moved: Callable[[int], None]) -> None:
        """Pass on one direction to its end."""
        try:
            data = await source.read()  # what was read already goes first
            while data:
                sent = sink.send_nowait(data)
                if sent != len(data):
                    await sink.send(data, sent)
                moved(len(data))
                if len(data) >= BULK:
                    await self._pour(source, sink, moved)
                data = await source.receive()
            sink.send_eof()
        except CLOSED:
            self._break()

    async def _pour(self, source: Wire, sink: Wire, moved: Callable[[int], None]) -> None:
        while can_splice(source, sink):
            await source.wait_readable()
            if await burst(source, sink, None, moved) < BULK:
                break

    def _sent(self, size: int) -> None:
        self.sent += size
        self._moved()

    def _received(self, size: int) -> None:
        self.received += size
        self._moved()

    def _moved(self) -> None:
        """Put off the end. To move a deadline costs more than to pass a message on, so it is moved now and then."""
        now = self._now()
        if now >= self._postponed_at + self._idle * SLACK:
            self._postponed_at = now
            self._scope.deadline = now + self._idle * (1 + SLACK)

    def _break(self) -> None:
        self.broken = True
        self.client.abort()
        self.backend.abort()
        self._scope.cancel()


async def relay(tunnel: Tunnel, over: Callable[[bool], None], *, counted: TunnelStats, first: bytes = b"") -> None:
    """Say `first` to the client, then run the tunnel; tell `over` at the end whether neither side broke off.

    As `Tunnel.run`: both are closed afterwards. Raises OSError when the client is gone before it was told.
    """
    try:
        if first:
            await tunnel.client.send(first)
        with counted.counting(tunnel):
            await tunnel.run()
    finally:
        tunnel.backend.close()
        over(not tunnel.broken)
