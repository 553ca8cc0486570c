"""A ceiling for the memory of the agent: below it work is refused, so that the kernel need not kill. An edge.

    ENOUGH --HIGH--> SHORT --FULL--> FULL
       ^---below LOW---'----below LOW--'

SHORT: new requests are answered 503, what is under way goes on, connections that idle end. FULL: besides,
nobody is accepted. The marks are apart, so that it does not flap. One request at a time is let in all the same: an
agent that is above the ceiling at rest must limp, and not stand still for ever.

What is measured is resident memory, by ``/proc/self/statm``; what the kernel holds for sockets is not in it. Between
two looks there is room for a tenth of the ceiling. Precedent: Envoy's overload manager, which shrinks the heap at 95 %
and stops accepting at 98 %; the kernel's own watermarks.
"""

from __future__ import annotations

import ctypes
import enum
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
import trio

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


class Memory:
    """Watches the memory of this process, and says how short it is."""

    def __init__(
        self,
        limit: int,
        strain: Callable[[Pressure, str], None],
        stats: MemoryStats,
        resident: Callable[[], int] | None = None,
    ) -> None:
        """`strain` is told of each change, with a text for callers. `resident` reads the bytes in use."""
        self.limit = limit
        self._marks = Watermarks(limit)
        self._strain = strain
        self._stats = stats
        self._resident = resident or resident_bytes
        self._trim = malloc_trim()

    async def watch(self) -> None:
        """Look until cancelled."""
        self._stats.limit = self.limit
        if self._resident() >= LOW * self.limit:
            log.warning("the memory limit leaves no room: the agent at rest takes more", **self._sizes())
        trim_at = 0.0
        while True:
            await trio.sleep(PERIOD)
            before = self._marks.pressure
            now = self._marks.update(self._resident())
            if now is not before:
                self._tell(before, now)
            if now is Pressure.ENOUGH:
                continue
            if trio.current_time() >= trim_at:
                await self._relieve(before)
                trim_at = trio.current_time() + TRIM

    def _tell(self, before: Pressure, now: Pressure) -> None:
        self._stats.shedding = now is not Pressure.ENOUGH
        percent = round(100 * self._resident() / self.limit)
        self._strain(now, f"memory: {percent} % of the {self.limit / MEGABYTE:g} MB that the agent may take are in use")
        if now is Pressure.ENOUGH:
            log.warning("memory suffices again: requests are taken", **self._sizes())
        elif before is Pressure.ENOUGH:
            log.warning("memory is short: new requests are refused", **self._sizes())

    async def _relieve(self, before: Pressure) -> None:
        """Free what nobody holds, and give what is free back to the system, which the C library puts off."""
        if before is Pressure.ENOUGH:
            gc.collect()
        await trio.to_thread.run_sync(self._trim)

    def _sizes(self) -> dict[str, float]:
        return {"used_mb": round(self._resident() / MEGABYTE, 1), "limit_mb": round(self.limit / MEGABYTE, 1)}


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
