"""Stand-ins for what namers meet outside, and the running parts around them, under virtual time."""

from __future__ import annotations

import itertools
import math
import os
import pathlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple

import trio

from namer.addr import Addr, AddrBound, Endpoint
from namer.cell import Cell
from namer.dns.answers import Answer, Failed, Found, Nothing, R, Srv
from namer.dns.resolver import Resolves
from namer.files import FileWatch
from namer.hosts import Hosts
from namer.namer import PENDING, Bound, NameState
from namer.nametree import NEG, Leaf
from namer.path import Path
from namer.watch import Watches

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class FakeNamer:
    """Knows the names it is told, as io.l5d.fs knows its files: by their first labels."""

    def __init__(self, prefix: str, *names: str) -> None:
        self.prefix = Path.parse(prefix)
        self.asked: list[Path] = []
        self.cells: dict[Path, Cell[NameState]] = {}
        self.addrs: dict[Path, Cell[Addr]] = {}
        for name in names:
            self.serve(name)

    def serve(self, name: str, *endpoints: Endpoint) -> None:
        path = Path.parse("/" + name)
        self.addrs.setdefault(path, Cell(AddrBound(()))).set(AddrBound(endpoints), 0.0)

    def cell(self, name: str) -> Cell[NameState]:
        """A live answer for exactly this path, pending until the test sets it."""
        pending: NameState = PENDING
        return self.cells.setdefault(Path.parse("/" + name), Cell(pending))

    def lookup(self, path: Path) -> Cell[NameState]:
        self.asked.append(path)
        if path in self.cells:
            return self.cells[path]
        for count in range(1, len(path) + 1):
            if path[:count] in self.addrs:
                return Cell.constant(Leaf(Bound(self.prefix + path[:count], path[count:], self.addrs[path[:count]])))
        return Cell.constant(NEG)


class FakeResolver(Resolves):
    """Resolves the hosts and services it is told, for five seconds; an exception in their place is a failure.

    Others are unknown, for as long.
    """

    TTL = 5.0

    def __init__(self, **known: tuple[str, ...] | OSError) -> None:
        self.known: dict[str, tuple[str, ...] | OSError] = dict(known)
        self.records: dict[str, tuple[Srv, ...] | OSError] = {}
        self.slow: dict[str, float] = {}
        self.asked: list[tuple[float, str]] = []
        self.answering = trio.Event()
        self.answering.set()

    async def addresses(self, host: str, newer_than: float = -math.inf, *, known: bool = False) -> Answer[str]:
        return await self._answer(host, self.known)

    async def services(self, name: str, newer_than: float = -math.inf, *, known: bool = False) -> Answer[Srv]:
        return await self._answer(name, self.records)

    async def _answer(self, name: str, known: Mapping[str, tuple[R, ...] | OSError]) -> Answer[R]:
        self.asked.append((trio.current_time(), name))
        await trio.sleep(self.slow.get(name, 0.0))
        await self.answering.wait()
        now = trio.current_time()
        match known.get(name):
            case OSError() as problem:
                return Failed(problem.strerror or str(problem), now, now + 1)
            case None | ():
                return Nothing(name in known, now, now + self.TTL)
            case records:
                return Found(records, now, now + self.TTL)


async def offload_inline(function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
    """Runs what would go to a thread at once: threads know nothing of virtual time."""
    await trio.lowlevel.checkpoint()
    return function(*arguments)


@dataclass
class Live:
    """The parts that own tasks, running."""

    resolver: FakeResolver = field(default_factory=FakeResolver)
    watches: Watches = field(default_factory=lambda: Watches(random.Random(7)))
    files: FileWatch = field(default_factory=lambda: FileWatch(offload=offload_inline))

    def __post_init__(self) -> None:
        self.hosts = Hosts(self.watches, self.resolver, random.Random(7))


@asynccontextmanager
async def running(resolver: FakeResolver | None = None) -> AsyncIterator[Live]:
    """Live parts, until the block ends."""
    live = Live(resolver or FakeResolver())
    async with trio.open_nursery() as nursery:
        await nursery.start(live.watches.run)
        await nursery.start(live.files.run)
        yield live
        nursery.cancel_scope.cancel()


_ticks = itertools.count(1_000_000_000, 1_000_000_000)


def write(path: pathlib.Path, text: str) -> None:
    """Replace a file in one step, as careful writers do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    rewrite(fresh, text)
    fresh.rename(path)


def rewrite(path: pathlib.Path, text: str) -> None:
    """Write a file in place, with a time stamp of its own: virtual time runs faster than a disk's clock ticks."""
    path.write_text(text)
    tick = next(_ticks)
    os.utime(path, ns=(tick, tick))
