"""A ceiling for the memory of the agent: below it work is refused, so that the kernel need not kill. An edge.

    ENOUGH --HIGH--> SHORT --FULL--> FULL
       ^---below LOW---'----below LOW--'

SHORT: new requests are answered 503, what is under way goes on, connections that idle end. FULL: besides,
nobody is accepted. The marks are apart, so that it does not flap. One request at a time is let in all the same: an
agent that is above the ceiling at rest must limp, and not stand still for ever.

What is measured is resident memory, by ``/proc/self/statm``; what the kernel holds for sockets is not in it. It
is looked at by the clock and whenever some more requests are under way, for a burst can be quicker than the clock; and
what each exchange may hold is its share of what is left (frugal.py), so that what is let in cannot grow beyond it.
Precedent: Envoy's overload manager, which shrinks the heap at 95 % and stops accepting at 98 %; the kernel's own
watermarks.
"""

from __future__ import annotations

import ctypes
import enum
import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog
import trio

from nodeagent.proxy.dispatch import Router
from nodeagent.proxy.frugal import FRUGAL
from nodeagent.proxy.room import clear
from nodeagent.proxy.server import GROWTH, Server
from nodeagent.telemetry.registry import MemoryStats

log = structlog.get_logger("nodeagent.memory")

HIGH: Final = 0.90
FULL: Final = 0.95
LOW: Final = 0.85
"""Parts of the ceiling."""
PERIOD: Final = 0.1
"""Seconds between two looks; one takes 4 microseconds."""
TRIM: Final = 1.0
"""Seconds between two times that freed memory is given back to the system, while memory is short."""
MEGABYTE: Final = 1 << 20
NO_LIMIT: Final = 1 << 60
"""A cgroup of version 1 without a limit says a number near 2**63."""
_PAGE: Final = os.sysconf("SC_PAGESIZE")


class Pressure(enum.Enum):
    """How short memory is."""

    ENOUGH = "enough"
    SHORT = "short"
    FULL = "full"


class Watermarks:
    """Turns the memory that is in use into a pressure. Pure."""

    def __init__(self, limit: int) -> None:
        """`limit` is the ceiling in bytes."""
        self._high, self._full, self._low = HIGH * limit, FULL * limit, LOW * limit
        self.pressure = Pressure.ENOUGH

    def update(self, used: int) -> Pressure:
        """Return the pressure now that `used` bytes are in use."""
        if used >= self._full:
            self.pressure = Pressure.FULL
        elif used < self._low:
            self.pressure = Pressure.ENOUGH
        elif used >= self._high and self.pressure is Pressure.ENOUGH:
            self.pressure = Pressure.SHORT
        return self.pressure


@dataclass(frozen=True, slots=True)
class Strain:
    """What a look at the memory says."""

    pressure: Pressure
    changed: bool
    """Whether it is another one than before."""
    why: str
    """For callers who are refused."""
    room: float
    """Bytes that may still be taken before it is full."""


class Memory:
    """Watches the memory of this process, and says how short it is."""

    def __init__(
        self,
        limit: int,
        react: Callable[[Strain], None],
        stats: MemoryStats,
        resident: Callable[[], int] | None = None,
    ) -> None:
        """`react` is told of each look. `resident` reads the bytes in use."""
        self.limit = limit
        self._marks = Watermarks(limit)
        self._react = react
        self._stats = stats
        self._resident = resident or resident_bytes
        self._trim = malloc_trim()
        self._trim_at = 0.0

    async def watch(self) -> None:
        """Look until cancelled."""
        self._stats.limit = self.limit
        used = self._resident()
        if used >= LOW * self.limit:
            log.warning("the memory limit leaves no room: the agent at rest takes more", **self._sizes(used))
        while True:
            self.look()
            if self._marks.pressure is not Pressure.ENOUGH and trio.current_time() >= self._trim_at:
                await self._relieve()
            await trio.sleep(PERIOD)

    def look(self) -> None:
        """Look now, because much may have changed since."""
        used = self._resident()
        before = self._marks.pressure
        now = self._marks.update(used)
        if now is not before:
            self._stats.shedding = now is not Pressure.ENOUGH
            if now is Pressure.ENOUGH:
                log.warning("memory suffices again: requests are taken", **self._sizes(used))
            elif before is Pressure.ENOUGH:
                log.warning("memory is short: new requests are refused", **self._sizes(used))
        percent, limit = round(100 * used / self.limit), self.limit / MEGABYTE
        why = f"memory: {percent} % of the {limit:g} MB that the agent may take are in use"
        self._react(Strain(now, now is not before, why, FULL * self.limit - used))

    async def _relieve(self) -> None:
        """Free what nobody holds, and give what is free back to the system, which the C library puts off."""
        if trio.current_time() >= self._trim_at + TRIM:  # it is short since now
            gc.collect()
        await trio.to_thread.run_sync(self._trim)
        self._trim_at = trio.current_time() + TRIM

    def _sizes(self, used: int) -> dict[str, float]:
        return {"used_mb": round(used / MEGABYTE, 1), "limit_mb": round(self.limit / MEGABYTE, 1)}


class Routing(Protocol):
    """A router with its listeners, as the memory knows it."""

    router: Router
    servers: list[Server]


def guard(limit: int, routers: Sequence[Routing], stats: MemoryStats) -> Memory:
    """Return what keeps the memory of `routers` below `limit` bytes, once it is watched."""
    servers = [server for running in routers for server in running.servers]

    def react(strain: Strain) -> None:
        FRUGAL.share(strain.room, sum(server.in_flight + GROWTH for server in servers))
        short = strain.pressure is not Pressure.ENOUGH
        for server in servers:
            server.strain(strain.why if short else None, accepts=strain.pressure is not Pressure.FULL)
        if short and strain.changed:
            for running in routers:
                for client in running.router.bindings.clients.values():
                    clear(client.balancer.nodes)

    memory = Memory(limit, react, stats)
    for server in servers:
        server.on_growth = memory.look
    return memory


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes."""
    with open("/proc/self/statm", "rb", buffering=0) as statm:  # noqa: PTH123  (a third of the time)
        return int(statm.read(64).split()[1]) * _PAGE


def malloc_trim() -> Callable[[], object]:
    """Return what gives the free memory of the C library back to the system; nothing where that is not glibc."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return _nothing
    return lambda: trim(0)


def ceiling(megabytes: int | None, root: Path = Path("/")) -> int | None:
    """Return the ceiling in bytes: what is configured, else what the cgroup of this process has; None if neither."""
    return cgroup_limit(root) if megabytes is None else megabytes * MEGABYTE


def cgroup_limit(root: Path) -> int | None:
    """Return the least memory limit of this process's cgroup and those above it, in bytes; None if there is none.

    Of version 2 (`memory.max`), or else of version 1 (`memory.limit_in_bytes`).
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found += _limits(root / "sys/fs/cgroup", path, "memory.max")
        elif "memory" in controllers.split(","):
            found += _limits(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")
    return min(found, default=None)


def _limits(mount: Path, path: str, file: str) -> list[int]:
    """Return the limits along a cgroup's path. In a container only its own may be there, at the mount itself."""
    group = Path(path.lstrip("/"))
    found = []
    for each in (group, *group.parents):
        try:
            text = (mount / each / file).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < NO_LIMIT:
            found.append(int(text))
    return found


def _nothing() -> None: ...
