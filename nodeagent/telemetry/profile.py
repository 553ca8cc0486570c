"""Where the time of this process goes, and what its memory holds: looked at while it serves. An edge.

The CPU profile samples by SIGPROF, as Go's does: a timer that runs with the CPU time of the process asks for the stack
of the main thread so many times a second. A thread that woke up by a clock would see that stack only where it lets go
of the interpreter, which is in system calls; and it would wake an agent that idles.
"""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final

import trio

if TYPE_CHECKING:
    import tracemalloc

HZ: Final = 100
"""Samples for each second of CPU time."""
DEPTH: Final = 100
"""Frames of one stack; of a deeper one, the innermost."""
MOST_STACKS: Final = 10_000
"""Different stacks; more are counted together."""
SLICE: Final = 2_000
"""Objects that are looked at before others get their turn."""

OTHER: Final = "(other)"
COST: Final = "every allocation was traced meanwhile, which makes the agent about twice as slow"


class BusyError(Exception):
    """A profile is being made already."""


@dataclass(slots=True)
class Profile:
    """How often each stack was seen, outermost function first."""

    stacks: Counter[tuple[str, ...]] = field(default_factory=Counter)

    @classmethod
    def of(cls, collapsed: str) -> Profile:
        """Read what `collapsed` writes. Raises ValueError."""
        profile = cls()
        for line in collapsed.splitlines():
            stack, _, count = line.rpartition(" ")
            profile.stacks[tuple(stack.split(";"))] += int(count)
        return profile

    def under(self, label: str) -> Profile:
        """Return the same as a part of a larger one."""
        return Profile(Counter({(label, *stack): count for stack, count in self.stacks.items()}))

    def collapsed(self) -> str:
        """One line a stack, `outer;inner COUNT`: what flamegraph.pl and speedscope read."""
        return "".join(f"{';'.join(stack)} {count}\n" for stack, count in sorted(self.stacks.items()))

    def top(self, most: int = 50) -> str:
        """The functions that take most, as a table: by themselves, and with what they call."""
        own: Counter[str] = Counter()
        whole: Counter[str] = Counter()
        for stack, count in self.stacks.items():
            own[stack[-1]] += count
            whole.update(dict.fromkeys(stack, count))
        samples = sum(own.values())
        lines = [f"{samples} samples, {HZ} for each second of CPU time", "  self   total  function"]
        lines += [
            f"{100 * count / samples:5.1f} % {100 * whole[name] / samples:5.1f} %  {name}"
            for name, count in own.most_common(most)
        ]
        return "\n".join(lines) + "\n"


class Sampler:
    """Takes the samples of one profile."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[CodeType, ...]] = Counter()
        self._modules: dict[CodeType, str] = {}

    def take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (a handler of a signal)
        """Note the stack that ends with `frame`."""
        stack: list[CodeType] = []
        while frame is not None and len(stack) < DEPTH:
            code = frame.f_code
            stack.append(code)
            if code not in self._modules:
                self._modules[code] = frame.f_globals.get("__name__", "?")
            frame = frame.f_back
        key = tuple(reversed(stack))
        if key not in self._seen and len(self._seen) >= MOST_STACKS:
            key = ()
        self._seen[key] += 1

    def profile(self) -> Profile:
        """Return what was seen."""
        return Profile(
            Counter(
                {
                    tuple(f"{self._modules[code]}.{code.co_qualname}" for code in stack) or (OTHER,): count
                    for stack, count in self._seen.items()
                }
            )
        )


@contextmanager
def sampling(sampler: Sampler) -> Iterator[None]:
    """Sample the main thread in the block. Raises BusyError, and ValueError on another thread."""
    if signal.getitimer(signal.ITIMER_PROF)[0]:
        raise BusyError("a profile is being made already; ask again when it is done")
    signal.signal(signal.SIGPROF, sampler.take)
    signal.setitimer(signal.ITIMER_PROF, 1 / HZ, 1 / HZ)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)  # by default, one that comes late would end the process


async def cpu_profile(seconds: float) -> Profile:
    """Sample this process for so many seconds. Raises BusyError. Cancelling ends it."""
    sampler = Sampler()
    with sampling(sampler):
        await trio.sleep(seconds)
    return sampler.profile()


async def heap(top: int) -> dict[str, Any]:
    """What objects there are, by type: of those that the collector tracks, and is not told to leave alone.

    Others get their turn in between. Cancelling is safe.
    """
    objects = gc.get_objects()
    counts: Counter[type] = Counter()
    sizes: Counter[type] = Counter()
    for start in range(0, len(objects), SLICE):
        for each in objects[start : start + SLICE]:
            kind = type(each)
            counts[kind] += 1
            sizes[kind] += sys.getsizeof(each, 0)
        await trio.lowlevel.checkpoint()
    return {
        "objects": len(objects),
        "frozen": gc.get_freeze_count(),
        "threads": threading.active_count(),
        "collections": [each["collections"] for each in gc.get_stats()],
        "types": [
            {"type": f"{kind.__module__}.{kind.__qualname__}", "count": counts[kind], "bytes": size}
            for kind, size in sizes.most_common(top)
        ],
    }


async def allocations(seconds: float, top: int) -> dict[str, Any]:
    """What was allocated in so many seconds and is still there at their end, by line. Raises BusyError.

    This is expensive (`COST`), and the end of it holds everybody up for a moment.
    """
    import tracemalloc  # it takes its memory when it is there

    if tracemalloc.is_tracing():
        raise BusyError("allocations are being traced already; ask again when that is done")
    tracemalloc.start()
    began = time.perf_counter()
    try:
        await trio.sleep(seconds)
        snapshot = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    took = time.perf_counter() - began
    statistics = await trio.to_thread.run_sync(snapshot.statistics, "lineno")
    return {"seconds": round(took, 1), "cost": COST, "lines": list(_lines(statistics[:top]))}


def _lines(statistics: Iterable[tracemalloc.Statistic]) -> Iterator[dict[str, Any]]:
    for each in statistics:
        place = each.traceback[0]
        yield {"line": f"{place.filename}:{place.lineno}", "count": each.count, "bytes": each.size}
