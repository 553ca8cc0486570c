"""Opaque bytes both ways between two connections. An edge.

Each direction ends by itself: the end of one is passed on as a half-close (RFC 9293, 3.6) while the other goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import trio

from nodeagent.proxy.wire import CLOSED, Wire

Opened: TypeAlias = tuple[Wire, Callable[[bool], None]]
"""A backend's connection for a tunnel, and what must be told once when it is over: whether neither side broke off."""


class Tunnel:
    """Two wires joined until both have ended, one broke, or nothing moved for `idle` seconds."""

    def __init__(self, client: Wire, backend: Wire, idle: float = math.inf) -> None:
        self._client = client
        self._backend = backend
        self._idle = idle
        self._scope = trio.CancelScope()
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
                self._moved()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._upward)
                    await self._downward()
        finally:
            self._client.close()
            self._backend.close()

    async def _upward(self) -> None:
        try:
            while data := await self._client.read():
                await self._backend.send(data)
                self.sent += len(data)
                self._moved()
            self._backend.send_eof()
        except CLOSED:
            self._break()

    async def _downward(self) -> None:
        try:
            while data := await self._backend.read():
                await self._client.send(data)
                self.received += len(data)
                self._moved()
            self._client.send_eof()
        except CLOSED:
            self._break()

    def _moved(self) -> None:
        if self._idle != math.inf:
            self._scope.deadline = trio.current_time() + self._idle

    def _break(self) -> None:
        self.broken = True
        self._client.abort()
        self._backend.abort()
        self._scope.cancel()
