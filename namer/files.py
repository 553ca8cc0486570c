"""Notices that files have changed, by looking: one task stats all watched paths a few times a second.

Looking, instead of being told by inotify, sees every way in which a file changes: rewriting in place,
renaming over it, swapping a symbolic link above it (as Kubernetes does with a ConfigMap), mounting, creating
and removing it, on any file system, with no watch to lose. Looking and reading are done in worker threads, of
a number of their own, since a disk may hang.
"""

from __future__ import annotations

import os
import pathlib
import stat
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias, TypeVar, TypeVarTuple

import trio

SETTLE: Final = 0.05  # seconds a changed file is left alone before anybody reads it
SETTLES: Final = 4  # how often at most, for who writes it slowly
AT_ONCE: Final = 100  # readers woken before others get a turn
THREADS: Final = 4

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")
Fingerprint: TypeAlias = tuple[int, ...]


class Offload(Protocol):
    """Runs a function that blocks where it does not hold up the others."""

    async def __call__(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """What the function returns or raises. Cancelling leaves it running, unheeded."""
        ...


def worker_threads(count: int) -> Offload:
    """Run functions in at most `count` threads at a time, apart from those that name look-ups may use up."""
    limiter = trio.CapacityLimiter(count)

    async def offload(function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        return await trio.to_thread.run_sync(function, *arguments, abandon_on_cancel=True, limiter=limiter)

    return offload


class Change:
    """Tells one reader of a file that it should read again."""

    __slots__ = ("_happened",)

    def __init__(self) -> None:
        self._happened = trio.Event()

    def notify(self) -> None:
        """Wake the reader, or spare it the next wait."""
        self._happened.set()

    async def wait(self) -> None:
        """Return when the file has changed since the last return. Cancelling is safe: no change is lost."""
        await self._happened.wait()
        self._happened = trio.Event()


@dataclass(slots=True, eq=False)
class _Watched:
    path: str
    fingerprint: Fingerprint
    changes: list[Change] = field(default_factory=list)


class FileWatch:
    """Watches any number of files. Start `run` once; `watch` works before, but notices nothing until then.

    `offload` runs whatever blocks on a disk; those who read the files use it too.
    """

    def __init__(self, *, interval: float = 0.5, offload: Offload | None = None) -> None:
        self.offload = offload or worker_threads(THREADS)
        self._interval = interval
        self._watched: dict[str, _Watched] = {}

    @asynccontextmanager
    async def watch(self, path: pathlib.Path | str, seen: Fingerprint | None = None) -> AsyncIterator[Change]:
        """Watch a path, which need not exist. Read the file after entering and after each `change.wait()`.

        Whoever has `seen` it already says how it looked before that, and need not read it after entering.
        """
        key = str(path)
        if key not in self._watched:
            fingerprint = await self.offload(look, key) if seen is None else seen
            self._watched.setdefault(key, _Watched(key, fingerprint))
        watched = self._watched[key]
        change = Change()
        watched.changes.append(change)
        if seen is not None and seen != watched.fingerprint:
            change.notify()
        try:
            yield change
        finally:
            watched.changes.remove(change)
            if not watched.changes:
                del self._watched[key]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at the watched files for ever; cancel to stop."""
        task_status.started()
        while True:
            await trio.sleep(self._interval)
            if self._watched:
                await self._sweep()

    async def _sweep(self) -> None:
        changed = await self.offload(_look_at_all, tuple(self._watched.values()))
        for _ in range(SETTLES):
            if not changed:
                return
            # Who truncates a file and then writes it should be done before it is read. And a time stamp is too
            # coarse to tell two writes at once apart, so what is remembered is how the file looks a moment later.
            await trio.sleep(SETTLE)
            unsettled = await self.offload(_look_at_all, changed)
            moving = set(unsettled)
            await self._notify(each for each in changed if each not in moving)
            changed = unsettled
        await self._notify(changed)

    async def _notify(self, changed: Iterable[_Watched]) -> None:
        """Wake the readers, by and by: thousands of files may change together."""
        woken = 0
        for watched in changed:
            for change in watched.changes:
                change.notify()
                woken += 1
            if woken >= AT_ONCE:
                await trio.lowlevel.checkpoint()
                woken = 0


def look(path: pathlib.Path | str) -> Fingerprint:
    """What tells one state of a file from the next. Of a directory it is only which one, not what it holds."""
    try:
        found = os.stat(path)  # noqa: PTH116  (half the cost, and there may be ten thousand)
    except OSError as problem:
        return (problem.errno or 0,)
    if stat.S_ISDIR(found.st_mode):
        return (found.st_dev, found.st_ino)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _look_at_all(watched: Iterable[_Watched]) -> list[_Watched]:
    """Those that look otherwise than remembered; how they look now is."""
    changed = []
    for each in watched:
        fingerprint = look(each.path)
        if fingerprint != each.fingerprint:
            each.fingerprint = fingerprint
            changed.append(each)
    return changed
