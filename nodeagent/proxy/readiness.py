"""Which connections can be read: one edge-triggered epoll for all of them. An edge.

trio arms a socket anew for each wait, with a system call, and disarms it again. A connection that is kept is waited on
thousands of times, so here it is registered once, for its whole life, and a wait only remembers the task (`Wire`). trio
waits for the epoll itself, which can be read when one of its sockets can. The price is one more turn of trio's loop
when a single socket wakes an idle agent; under load a turn is shared by many.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from trio.lowlevel import RunVar, spawn_system_task, wait_readable

if TYPE_CHECKING:
    from nodeagent.proxy.wire import Wire

EVENTS = 256
"""Wires that are told at once, before other tasks get their turn."""

_BROKEN = select.EPOLLHUP | select.EPOLLERR
_ENDED = select.EPOLLRDHUP | _BROKEN


class Readiness:
    """Tells wires that they can be read."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wires: dict[int, Wire] = {}

    def add(self, wire: Wire) -> None:
        """Watch a wire until `discard`."""
        self._wires[wire.fd] = wire
        self._epoll.register(wire.fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)

    def discard(self, wire: Wire) -> None:
        """Forget a wire whose socket is closed next, which ends its registration."""
        if self._wires.get(wire.fd) is wire:
            del self._wires[wire.fd]

    async def run(self) -> None:
        """Pass on what the kernel tells, until cancelled."""
        wires, epoll = self._wires, self._epoll
        while True:
            await wait_readable(epoll.fileno())
            for fd, events in epoll.poll(0, EVENTS):
                wire = wires.get(fd)
                if wire is not None:
                    if events & _ENDED:
                        wire.end(broken=bool(events & _BROKEN))
                    wire.wake()


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
