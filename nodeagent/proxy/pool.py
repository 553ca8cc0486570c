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
from functools import partial

import trio

from nodeagent.http1.upstream import Http1Connection
from nodeagent.proxy.errors import Overloaded
from nodeagent.proxy.idlelimit import IdleLimit


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
    """Connections to one endpoint. `closed` once the endpoint has left: what comes back is closed then.

    An idle connection is not used beyond what its backend announced (`Keep-Alive: timeout=`), or was seen to bear.
    """

    __slots__ = ("_learnt", "_on_close", "closed", "erratic", "idle", "limits", "size", "waiters")

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
        self.erratic = False
        """Whether the endpoint was seen to close connections at random: a request that cannot be repeated wants a new
        one."""
        self._learnt: IdleLimit | None = None

    def take(self, now: float) -> Http1Connection | None:
        """Return the freshest idle connection that still is silent, open and young, or None."""
        while self.idle:
            connection = self.idle.pop()
            if now < connection.use_before and not connection.wire.has_bytes():
                return connection
            self._drop(connection)
        return None

    async def acquire(
        self, dial: Callable[[], Awaitable[Http1Connection]], now: float, *, fresh: bool = False
    ) -> Http1Connection:
        """Return an idle connection or a new one, waiting when the pool is full.

        `fresh` asks for a new one, which takes the place of the oldest idle one.
        Raises Overloaded when too many wait, and what `dial` raises. Cancelling gives the place back.
        """
        connection = None if fresh else self.take(now)
        if connection is not None:
            return connection
        if fresh and self.idle:  # or who never takes what is kept would pile it up
            self._drop(self.idle.pop(0))
        if self.size >= self.limits.max_size:
            connection = await self._wait()
            if connection is not None:
                return connection
        else:
            self.size += 1
        try:
            connection = await dial()
        except BaseException:
            self._free_place()
            raise
        connection.wire.on_end = partial(self._hung_up, connection)
        return connection

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
            connection.use_before = now + connection.idle_limit
            if self._learnt is not None:
                connection.use_before = min(connection.use_before, now + self._learnt.limit(now))
            self.idle.append(connection)

    def expire(self, now: float) -> None:
        """Close idle connections that are too old, the oldest first."""
        if self.erratic and self._learnt is not None:
            self.erratic = self._learnt.is_erratic(now)
        if not self.idle:
            return
        limit = now - self.limits.idle_time
        spare = len(self.idle) - self.limits.min_size
        old = [c for c in self.idle[: max(spare, 0)] if c.idle_since <= limit]
        old += [c for c in self.idle if c not in old and (c.use_before <= now or self._aged(c, now))]
        for connection in old:
            self.idle.remove(connection)
            self._drop(connection)

    def close(self) -> None:
        """Close what is idle now, and what is busy when it comes back."""
        self.closed = True
        while self.idle:
            self._drop(self.idle.pop())

    def _hung_up(self, connection: Http1Connection, broken: bool) -> None:  # noqa: ARG002
        """Hear that the backend has ended a connection; of an idle one, learn how long it lets them be unused."""
        if connection not in self.idle:
            return
        now = trio.current_time()
        if self._learnt is None:
            self._learnt = IdleLimit()
        self._learnt.closed_at_age(now - connection.idle_since, now)
        self.erratic = self._learnt.is_erratic(now)
        limit = self._learnt.limit(now)
        for other in self.idle:
            other.use_before = min(other.use_before, other.idle_since + limit)
        self.idle.remove(connection)
        self._drop(connection)

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
