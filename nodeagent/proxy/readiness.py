"""Which connections can be read: one edge-triggered epoll for all of them. An edge.

trio arms a socket anew for each wait, with a system call, and disarms it again. A connection that is kept is waited on
thousands of times, so here it is registered once, for its whole life, and a wait only remembers the task (`Wire`). trio
waits for the epoll itself, which can be read when one of its sockets can. The price is one more turn of trio's loop
when a single socket wakes an idle agent; under load a turn is shared by many.

What comes from callers is told in turns: so many connections of each, then the rest, or those that have become ready
since. So a caller with a hundred busy connections does not make another one wait for all of them. With one caller
there are no turns. Connections to endpoints have none either: they end what was let in. Precedent: round robin over
flows (RFC 970, 3.2; RFC 8290).
"""

from __future__ import annotations

import select
from collections import deque
from typing import TYPE_CHECKING

from trio.lowlevel import RunVar, checkpoint, spawn_system_task, wait_readable

if TYPE_CHECKING:
    from nodeagent.proxy.caller import Caller
    from nodeagent.proxy.wire import Wire

EVENTS = 256
"""Wires that are told at once, before other tasks get their turn."""

TURN = 8
"""Connections of one caller that are told in a turn: less than a millisecond of work."""

_BROKEN = select.EPOLLHUP | select.EPOLLERR
_ENDED = select.EPOLLRDHUP | _BROKEN


class Line:
    """The connections of one caller."""

    __slots__ = ("caller", "size", "waiting")

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.size = 0
        self.waiting: deque[Wire] = deque()
        """Those that can be read and were not told yet."""


class Readiness:
    """Tells wires that they can be read."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wires: dict[int, Wire] = {}
        self._lines: dict[Caller, Line] = {}
        self._waiting: dict[Line, None] = {}  # lines in which somebody waits

    def add(self, wire: Wire) -> None:
        """Watch a wire until `discard`."""
        self._wires[wire.fd] = wire
        self._epoll.register(wire.fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)

    def line_up(self, wire: Wire, caller: Caller) -> None:
        """Have a wire that is watched take turns with the others, as one of `caller`'s, until `discard`."""
        line = self._lines.get(caller)
        if line is None:
            line = self._lines[caller] = Line(caller)
        line.size += 1
        wire.line = line

    def release(self, wire: Wire) -> None:
        """Forget a wire whose socket another one takes over."""
        self.discard(wire)
        self._epoll.unregister(wire.fd)

    def discard(self, wire: Wire) -> None:
        """Forget a wire whose socket is closed next, which ends its registration."""
        if self._wires.get(wire.fd) is wire:
            del self._wires[wire.fd]
        line = wire.line
        if line is not None:
            wire.line = None
            line.size -= 1
            if not line.size:
                del self._lines[line.caller]

    async def run(self) -> None:
        """Pass on what the kernel tells, until cancelled."""
        wires, lines, epoll = self._wires, self._lines, self._epoll
        while True:
            if self._waiting:
                await checkpoint()
            else:
                await wait_readable(epoll.fileno())
            in_turns = len(lines) > 1
            for fd, events in epoll.poll(0, EVENTS):
                wire = wires.get(fd)
                if wire is not None:
                    if events & _ENDED:
                        wire.end(broken=bool(events & _BROKEN))
                    if in_turns and (line := wire.line) is not None:
                        line.waiting.append(wire)
                        self._waiting[line] = None
                    else:
                        wire.wake()
            if self._waiting:
                self._take_turns()

    def _take_turns(self) -> None:
        for line in tuple(self._waiting):
            waiting = line.waiting
            for _ in range(min(TURN, len(waiting))):
                waiting.popleft().wake()
            if not waiting:
                del self._waiting[line]


_of_run: RunVar[Readiness] = RunVar("readiness")


def readiness() -> Readiness:
    """Return the one of this trio run; the first call makes it.

    As trio's own waiting it belongs to the run, not to a nursery: connections pass from one to another, and any of them
    may be the last. So its task is one of trio's system tasks, which end with the run.
    """
    try:
        return _of_run.get()
    except LookupError:
        made = Readiness()
        _of_run.set(made)
        spawn_system_task(made.run, name="readiness")
        return made
