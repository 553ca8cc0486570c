"""The connections to one endpoint: idle ones are kept, newest first, and their number is bounded.

    DIALLING --connected--> BUSY --clean end--> IDLE --taken--> BUSY
                              |                   '--too old, spoken to, hung up--> closed
                              '--broken, closed by either side--> closed

Every entry belongs to one request or to the idle list at any moment: `size` counts both and what is being dialled, so
that a request cancelled at any point gives its place back (the lesson of pools that await between the two).
Precedent: finagle's watermark and caching pools in one.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from nodeagent.http1.upstream import Http1Connection
from nodeagent.proxy.errors import Overloaded


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What one endpoint's pool may hold; seconds and counts."""

    min_size: int = 0
    """Idle connections that age alone does not close."""
    max_size: float = math.inf
    max_waiters: float = math.inf
    idle_time: float = 30.0
    life_time: float = math.inf


class _Waiter:
    """A request that waits for its turn: it is given a connection, or (None) the right to dial one."""

    __slots__ = ("connection", "served")

    def __init__(self) -> None:
        self.served = trio.Event()
        self.connection: Http1Connection | None = None


class Pool:
    """Connections to one endpoint. `closed` once the endpoint has left: what comes back is closed then."""

    __slots__ = ("_on_close", "closed", "idle", "limits", "size", "waiters")

    def __init__(self, limits: PoolLimits, on_close: Callable[[], None]) -> None:
        """`on_close` is called for each connection that was given out or kept, and is closed now."""
        self.limits = limits
        self._on_close = on_close
        self.idle: list[Http1Connection] = []
        self.size = 0
        """Idle, busy and being dialled."""
        self.waiters: list[_Waiter] = []
        """The first has waited longest. No deque: an empty one takes 760 bytes, and most pools never see a waiter."""
        self.closed = False

    def take(self) -> Http1Connection | None:
        """Return the freshest idle connection that still is silent and open, or None."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.wire.has_bytes():
                return connection
            self._drop(connection)
        return None

    async def acquire(self, dial: Callable[[], Awaitable[Http1Connection]]) -> Http1Connection:
        """Return an idle connection or a new one, waiting when the pool is full.

        Raises Overloaded when too many wait, and what `dial` raises. Cancelling gives the place back.
        """
        connection = self.take()
        if connection is not None:
            return connection
        if self.size >= self.limits.max_size:
            connection = await self._wait()
            if connection is not None:
                return connection
        else:
            self.size += 1
        try:
            return await dial()
        except BaseException:
            self._free_place()
            raise

    def release(self, connection: Http1Connection, now: float) -> None:
        """Take a connection back after its exchange; close it when it cannot serve another."""
        if not connection.reusable or self.closed or self._aged(connection, now):
            self._drop(connection)
        elif self.waiters and connection.wire.has_bytes():
            self._drop(connection)  # its backend has closed it behind the answer
        elif self.waiters:
            waiter = self.waiters.pop(0)
            waiter.connection = connection
            waiter.served.set()
        else:
            connection.idle_since = now
            self.idle.append(connection)

    def expire(self, now: float) -> None:
        """Close idle connections that are too old, the oldest first."""
        if not self.idle:
            return
        limit = now - self.limits.idle_time
        spare = len(self.idle) - self.limits.min_size
        old = [c for c in self.idle[: max(spare, 0)] if c.idle_since <= limit]
        old += [c for c in self.idle if c not in old and self._aged(c, now)]
        for connection in old:
            self.idle.remove(connection)
            self._drop(connection)

    def close(self) -> None:
        """Close what is idle now, and what is busy when it comes back."""
        self.closed = True
        while self.idle:
            self._drop(self.idle.pop())

    def _aged(self, connection: Http1Connection, now: float) -> bool:
        return now - connection.opened_at >= self.limits.life_time

    def _drop(self, connection: Http1Connection) -> None:
        connection.close()
        self._on_close()
        self._free_place()

    def _free_place(self) -> None:
        if self.waiters:  # the place passes on: the waiter dials
            self.waiters.pop(0).served.set()
        else:
            self.size -= 1

    async def _wait(self) -> Http1Connection | None:
        if len(self.waiters) >= self.limits.max_waiters:
            raise Overloaded(f"balance: all {self.size} connections to the endpoint are busy and the queue is full")
        waiter = _Waiter()
        self.waiters.append(waiter)
        try:
            await waiter.served.wait()
        except trio.Cancelled:  # never after it was served: trio delivers one or the other
            self.waiters.remove(waiter)
            raise
        return waiter.connection

    def __repr__(self) -> str:
        return f"<Pool {self.size} open, {len(self.idle)} idle, {len(self.waiters)} waiting>"
