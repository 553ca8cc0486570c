"""The callers' side of HTTP: requests on connections that are kept, or new each time, and given up in time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

TIMEOUT = 0
"""Outcome of a request whose caller gave up."""
BROKEN = -1
"""Outcome of a request whose connection failed: refused, or ended before a whole response."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[^\r]*\bclose\b", re.IGNORECASE)


def request(path: str, *, keep_alive: bool) -> bytes:
    """A GET for the service `web`, with headers as an ordinary client sends them."""
    connection = "keep-alive" if keep_alive else "close"
    fields = f"Host: web\r\nUser-Agent: callers/1.0\r\nAccept: */*\r\nConnection: {connection}\r\n"
    return f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode()


class Call:
    """One request: asked at *at* on the loop's clock; *done* is called once with its outcome: a status or the above."""

    __slots__ = ("_done", "_part", "_timer", "at")

    def __init__(self, at: float, done: Callable[[Call, int], None]) -> None:
        self.at = at
        self._done = done
        self._part: asyncio.Task[None] | Connection | None = None
        self._timer: asyncio.TimerHandle | None = None

    def within(self, timeout: float) -> None:
        """Give up *timeout* seconds after it was asked."""
        self._timer = asyncio.get_running_loop().call_at(self.at + timeout, self._give_up)

    def on(self, part: asyncio.Task[None] | Connection) -> None:
        """What it now waits for, and ends when it gives up."""
        self._part = part

    def finish(self, outcome: int) -> None:
        """It is over; only the first time counts."""
        if self._timer is not None:
            self._timer.cancel()
        done, self._done = self._done, _nothing
        done(self, outcome)

    def _give_up(self) -> None:
        self.finish(TIMEOUT)
        if isinstance(self._part, Connection):
            self._part.close()
        elif self._part is not None:
            self._part.cancel()


def _nothing(call: Call, outcome: int) -> None:
    """What a call that is over has left to do."""


class Connection(asyncio.Protocol):
    """One connection to the proxy, for one call at a time. *idle* holds it while it waits for the next."""

    def __init__(self, idle: list[Connection] | None) -> None:
        """None as *idle*: it is closed after one call."""
        self._idle = idle
        self._call: Call | None = None
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def ask(self, call: Call, wire: bytes) -> None:
        """Send a request."""
        self._call = call
        call.on(self)
        self._transport.write(wire)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._call is None:
            self._transport.abort()  # nobody asked; what comes next could be taken for an answer
            return
        self._held += data
        end = self._held.find(b"\r\n\r\n")
        length = _LENGTH.search(self._held, 0, end) if end >= 0 else None
        if length is None or (beyond := len(self._held) - (end + 4 + int(length[1]))) < 0:
            return
        call, status = self._call, int(self._held[9:12])
        kept = not beyond and not _CLOSE.search(self._held, 0, end)
        self._call, self._held = None, b""
        if kept and self._idle is not None:
            self._idle.append(self)
        else:
            self._transport.close()
        call.finish(status)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Called by the loop: what was not answered is broken."""
        if self._call is not None:
            self._call.finish(BROKEN)
        elif self._idle and self in self._idle:
            self._idle.remove(self)

    def close(self) -> None:
        """Hang up, whatever is under way."""
        self._call = None
        self._transport.abort()


class Callers:
    """Programs that call one address. Connections that are free are used again, the last one first."""

    def __init__(self, port: int, *, keep_alive: bool, timeout: float) -> None:
        """*timeout* in seconds."""
        self._port = port
        self._idle: list[Connection] | None = [] if keep_alive else None
        self._timeout = timeout
        self._keep_alive = keep_alive

    def ask(self, path: str, at: float, done: Callable[[Call, int], None]) -> None:
        """Ask now for *path*; the latency and the timeout count from *at*. *done* is called in any case."""
        call = Call(at, done)
        call.within(self._timeout)
        wire = request(path, keep_alive=self._keep_alive)
        if self._idle:
            self._idle.pop().ask(call, wire)
        else:
            call.on(asyncio.get_running_loop().create_task(self._connect(call, wire)))

    def hang_up(self) -> None:
        """Close the connections that are free."""
        while self._idle:
            self._idle.pop().close()

    async def _connect(self, call: Call, wire: bytes) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self._idle), "127.0.0.1", self._port
            )
        except OSError:
            call.finish(BROKEN)
        else:
            connection.ask(call, wire)
