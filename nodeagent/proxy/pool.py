"""The connections to one endpoint: idle ones are kept, newest first, and their number is bounded.

    DIALLING --connected--> BUSY --clean end--> IDLE --taken--> BUSY
                              |                   '--too old, spoken to, hung up--> closed
                              '--broken, closed by either side--> closed

Every entry belongs to one request or to the idle list at any moment: `size` counts both and what is being dialled, so
that a request cancelled at any point gives its place back (the lesson of pools that await between the two).
A wait has an end: the queue is bounded in length and time, and an endpoint that cannot be connected to, or has left,
sends those who wait away at once.
Precedent: finagle's watermark and caching pools in one.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import trio

from nodeagent.http1.upstream import Http1Connection
from nodeagent.proxy.errors import ConnectFailed, ConnectTimeout, EndpointFull, NoEndpoints, ProxyError, TlsFailed
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
    max_wait: float = math.inf
    """Of one request for a connection, when `max_size` are busy."""


class _Waiter:
    """A request that waits for its turn: it is given a connection, the right to dial one (None), or an error."""

    __slots__ = ("connection", "error", "served")

    def __init__(self) -> None:
        self.served = trio.Event()
        self.connection: Http1Connection | None = None
        self.error: ProxyError | None = None


class Pool:
    """Connections to one endpoint. `closed` once the endpoint has left: what comes back is closed then.

    An idle connection is not used beyond what its backend announced (`Keep-Alive: timeout=`), or was seen to bear.
    """

    __slots__ = (
        "_learnt",
        "_on_close",
        "_renewed_at",
        "closed",
        "erratic",
        "idle",
        "limits",
        "renew_at",
        "size",
        "waiters",
    )

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
        self._renewed_at = -math.inf
        self.renew_at = math.inf
        """When what it has then is to be replaced."""

    @property
    def has_room(self) -> bool:
        """Whether a request would get a connection without waiting for its turn."""
        return self.size < self.limits.max_size or bool(self.idle)

    @property
    def has_place(self) -> bool:
        """Whether a request would be taken, be it into the queue."""
        return self.has_room or len(self.waiters) < self.limits.max_waiters

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
        Raises EndpointFull when too many wait or it waited too long, NoEndpoints when the endpoint left meanwhile, and
        what `dial` raises: those who wait for a connection get the same. Cancelling gives the place back.
        """
        connection = None if fresh else self.take(now)
        if connection is not None:
            return connection
        if fresh and self.idle:  # or who never takes what is kept would pile it up
            self._drop(self.idle.pop(0))
        if self.size >= self.limits.max_size:
            connection = await self._wait()
            if connection is not None and not fresh:
                return connection
            if connection is not None:  # its place is what was waited for
                connection.close()
                self._on_close()
        else:
            self.size += 1
        try:
            connection = await dial()
        except BaseException as error:
            if isinstance(error, ConnectFailed | ConnectTimeout | TlsFailed):
                self._send_away(type(error), error.message)  # one after the other they would meet the same
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
        """Close idle connections that are too old, the oldest first; all of them if it is to be renewed."""
        if now >= self.renew_at:
            self.renew(now)
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
        """Close what is idle now, and what is busy when it comes back. Who waits for a connection waits no more."""
        self.closed = True
        self._send_away(
            NoEndpoints, "balance: the endpoint left discovery while the request waited for a connection to it"
        )
        self.clear()

    def clear(self) -> None:
        """Close what is idle now."""
        while self.idle:
            self._drop(self.idle.pop())

    def renew(self, now: float) -> None:
        """Close what is idle now, and what is busy when it comes back: new ones may be made otherwise."""
        self.renew_at = math.inf
        self._renewed_at = now
        self.clear()

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
        opened_at = connection.opened_at
        return now - opened_at >= self.limits.life_time or opened_at < self._renewed_at

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
        limits = self.limits
        busy = f"all its connections are busy (hostConnectionPool.maxSize: {limits.max_size})"
        if len(self.waiters) >= limits.max_waiters:
            raise EndpointFull(f"{busy}, its queue is full (maxWaiters: {limits.max_waiters})", waited=False)
        waiter = _Waiter()
        self.waiters.append(waiter)
        try:
            with trio.move_on_after(limits.max_wait):
                await waiter.served.wait()
        except BaseException:
            self._withdraw(waiter)
            raise
        if not waiter.served.is_set():
            self.waiters.remove(waiter)
            raise EndpointFull(f"{busy}, and stayed so for {limits.max_wait * 1000:g} ms (maxWaitMs)", waited=True)
        if waiter.error is not None:
            raise waiter.error
        return waiter.connection

    def _withdraw(self, waiter: _Waiter) -> None:
        """Undo a wait that is cancelled. It may have been served since: between the cancellation and its delivery."""
        if not waiter.served.is_set():
            self.waiters.remove(waiter)
        elif waiter.connection is not None:
            self.release(waiter.connection, trio.current_time())
        elif waiter.error is None:
            self._free_place()

    def _send_away(self, kind: type[ProxyError], message: str) -> None:
        """End the wait of all with an error of their own."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.error = kind(message)
            waiter.served.set()

    def __repr__(self) -> str:
        return f"<Pool {self.size} open, {len(self.idle)} idle, {len(self.waiters)} waiting>"
