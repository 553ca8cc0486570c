"""Where callers of the admin port wait until they have asked something. An edge.

Whoever only connects, or sends a head byte by byte, costs a socket and what it has sent, but no task: one task reads
for all, in rounds that have a pace. As long as few come, each is read at once.
"""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Callable
from math import inf
from typing import Final, TypeAlias

import trio

from nodeagent.admin.connections import PIECE, Connections, Pace

MAX_HEAD: Final = 64 * 1024
"""Bytes. Of a longer one the rest is up to who speaks HTTP."""
PATIENCE: Final = 10.0
"""Seconds within which a first head has come."""
PACE: Final = 500
"""Connections accepted each second."""
ROUNDS: Final = 50
"""Rounds each second where there is always somebody: a probe waits 20 ms beside a crowd."""
PAUSE: Final = 0.1
"""Seconds until the next try where nothing can be accepted: there may be no descriptor left."""

_END: Final = re.compile(rb"\n\r?\n")
"""Of a head."""

Begin: TypeAlias = Callable[[socket.socket, bytes], None]
"""Takes over a connection with what was read of it: a head, or more than one may have."""


class Waiting:
    """A connection that has asked nothing yet."""

    busy = 0

    def __init__(self, door: Door, sock: socket.socket, until: float) -> None:
        self._door = door
        self.sock = sock
        self.fd = sock.fileno()
        self.until = until
        self.begun = bytearray()
        """Read so far."""

    def cut(self) -> None:
        """Close it."""
        self._door.forget(self)
        self.sock.close()


class Door:
    """Accepts connections to a listening socket, and holds each until its first head is there."""

    def __init__(self, listener: socket.socket, connections: Connections, begin: Begin) -> None:
        """Those who wait are among the `connections`, of which there are never too many."""
        listener.setblocking(False)
        self._listener = listener
        self._connections = connections
        self._begin = begin
        self._pace = Pace(burst=PACE, rate=PACE)
        self._rounds = Pace(burst=ROUNDS, rate=ROUNDS)
        self._opens_at = 0.0
        self._waiting: dict[int, Waiting] = {}
        self._epoll = select.epoll()
        self._epoll.register(listener, select.EPOLLIN)

    async def run(self) -> None:
        """Let callers in until cancelled. Those that wait then are closed, and nobody else is accepted."""
        try:
            while True:
                with trio.move_on_at(self._next()):
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                now = trio.current_time()
                self._round(now)
                if pause := self._rounds.wait(now):
                    await trio.sleep(pause)
        finally:
            for waiting in tuple(self._waiting.values()):
                waiting.cut()
            self._epoll.close()

    def forget(self, waiting: Waiting) -> None:
        """Hold one no longer; its socket is closed or taken over next."""
        if self._waiting.get(waiting.fd) is waiting:
            del self._waiting[waiting.fd]
            self._connections.remove(waiting)
            self._epoll.unregister(waiting.fd)

    def _next(self) -> float:
        """When to look again though nobody says anything."""
        first = next(iter(self._waiting.values()), None)
        return min(self._opens_at or inf, inf if first is None else first.until)

    def _round(self, now: float) -> None:
        if self._opens_at and now >= self._opens_at:
            self._opens_at = 0.0
            self._epoll.modify(self._listener, select.EPOLLIN)
        for fd, _ in self._epoll.poll(0):
            if fd == self._listener.fileno():
                self._accept(now)
            elif (waiting := self._waiting.get(fd)) is not None:
                self._read(waiting)
        for waiting in tuple(self._waiting.values()):
            if waiting.until > now:
                break
            waiting.cut()

    def _accept(self, now: float) -> None:
        while not self._opens_at:
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                pause = PAUSE
            else:
                self._admit(sock, now)
                pause = self._pace.wait(now)
            if pause:
                self._opens_at = now + pause
                self._epoll.modify(self._listener, 0)

    def _admit(self, sock: socket.socket, now: float) -> None:
        sock.setblocking(False)
        waiting = Waiting(self, sock, now + PATIENCE)
        self._connections.add(waiting)
        self._waiting[waiting.fd] = waiting
        self._epoll.register(sock, select.EPOLLIN)
        self._read(waiting)

    def _read(self, waiting: Waiting) -> None:
        begun = waiting.begun
        try:
            more = waiting.sock.recv(PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            more = b""
        if not more:
            waiting.cut()
            return
        seen = max(0, len(begun) - 2)
        begun += more
        if _END.search(begun, seen) or len(begun) > MAX_HEAD:
            self.forget(waiting)
            self._begin(waiting.sock, bytes(begun))
