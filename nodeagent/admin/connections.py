"""The connections of the admin port: never more than so many, and none that waits for its caller without end. An edge.

Whoever can reach the port can open connections and leave them there, send half a request, or take nothing of an answer.
None of that may cost the traffic descriptors, memory or time: one connection too many ends the one that has idled for
longest, so that a probe still gets its answer; what is accepted, and what is asked, has a pace.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final, Protocol

import trio
from starlette.types import ASGIApp, Receive, Scope, Send

from nodeagent.admin.answers import problem
from nodeagent.admin.peers import Peers

MOST: Final = 64
"""Connections at once: each is a descriptor, and up to 128 KB of a head and what came with its end."""
STALLED: Final = 5.0
"""Seconds within which a caller takes the next piece of an answer."""
PIECE: Final = 64 * 1024
"""Bytes."""
BUFFER: Final = 128 * 1024
"""Bytes that the kernel keeps for a caller; by itself it would keep megabytes for one that takes nothing."""


class Pace:
    """Lets `burst` through at once, and so many each second after that (GCRA). Pure."""

    def __init__(self, burst: int, rate: float) -> None:
        self._interval = 1 / rate
        self._slack = burst * self._interval
        self._due = 0.0

    def wait(self, now: float) -> float:
        """Count one in, and return for how many seconds it has to wait."""
        self._due = max(self._due, now) + self._interval
        return max(0.0, self._due - self._slack - now)


class Open(Protocol):
    """A connection that is open."""

    busy: int
    """Requests under way."""

    def cut(self) -> None:
        """Close it at once."""


class Connection:
    """A stream as hypercorn wants it."""

    def __init__(self, stream: trio.SocketStream, begun: bytes, refusal: str | None) -> None:
        self._stream = stream
        self.socket = stream.socket
        self.refusal = refusal
        """Why nothing is answered that is asked here."""
        self.busy = 0
        """Requests under way."""
        self._begun = begun
        """Read, and not given out yet."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what has come."""
        if self._begun:
            begun, self._begun = self._begun, b""
            return begun
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes) -> None:
        """Send it piece by piece; a caller that does not take the next one in time is gone."""
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            with trio.move_on_after(STALLED) as scope:
                await self._stream.send_all(view[start : start + PIECE])
            if scope.cancelled_caught:
                self.cut()
                raise trio.BrokenResourceError(f"nothing of an answer was taken for {STALLED:g} s")

    async def send_eof(self) -> None:
        """Send no more."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()

    def cut(self) -> None:
        """Close it at once; whoever waits for it hears of that."""
        self.socket.close()


class Connections:
    """Those that are open, and the application as they are to ask it."""

    def __init__(self, app: ASGIApp, peers: Peers | None = None) -> None:
        """`peers` are those who may ask, where these are connections to a Unix socket."""
        self._app = app
        self._peers = peers
        self._open: dict[Open, None] = {}
        self._current: ContextVar[Connection] = ContextVar("admin connection")
        self._requests = Pace(burst=200, rate=200)

    def __len__(self) -> int:
        return len(self._open)

    def add(self, one: Open) -> None:
        """Count one in. It may cost the one that has idled for longest its place."""
        if len(self._open) >= MOST:
            self._longest_idle().cut()
        self._open[one] = None

    def remove(self, one: Open) -> None:
        """Count one out, if it is still in."""
        self._open.pop(one, None)

    @asynccontextmanager
    async def entered(self, sock: socket.socket, begun: bytes) -> AsyncIterator[Connection]:
        """Have a connection while the block runs, in the task of which all that it asks is answered.

        `begun` is what was read of it.
        """
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        connection = Connection(stream, begun, None if self._peers is None else self._peers.refusal(stream.socket))
        self.add(connection)
        self._current.set(connection)
        try:
            yield connection
        finally:
            self.remove(connection)
            connection.cut()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of one of the connections, when it is its turn."""
        connection = self._current.get()
        connection.busy += 1
        try:
            await trio.sleep(self._requests.wait(trio.current_time()))
            if connection.refusal is None:
                await self._app(scope, receive, send)
            else:
                await problem(scope["path"], 403, connection.refusal)(scope, receive, send)
        finally:
            connection.busy -= 1
            if connection in self._open:  # behind those that have idled longer
                self._open[connection] = self._open.pop(connection)

    def _longest_idle(self) -> Open:
        idle = next((each for each in self._open if not each.busy), None)
        found = idle or next(iter(self._open))
        del self._open[found]
        return found
