"""What every namer with live addresses promises, whatever it takes them from.

A test module gives its namer a Source and runs the contract by a subclass of NamerContract.
"""

from __future__ import annotations

import pathlib
from typing import ClassVar, Protocol

import pytest
import trio
from trio.testing import MockClock

from namer.addr import Addr, AddrBound, AddrPending
from namer.cell import Cell
from namer.namer import PENDING, Bound, Namer, NameState, Provenance
from namer.nametree import Leaf
from namer.path import Path
from tests.namer.fakes import Live, running

SETTLED = 6.0  # seconds after which a namer must have noticed


class Source(Protocol):
    """A name of a namer under test, and the world behind it."""

    namer: Namer
    name: Path  # to look up, without the prefix
    id: Path  # what it is bound to

    def serve(self, *hosts: str) -> None:
        """The name exists, and is served on port 80 of these addresses."""

    def break_(self) -> None:
        """Nothing can be found out any more, until something else is told."""

    def remove(self) -> None:
        """The name, or the host it names, does not exist any more."""


class Client:
    """Keeps a name and its address live, as the proxy does, and tells where requests could go."""

    def __init__(self, source: Source) -> None:
        self.name: Cell[NameState] = source.namer.lookup(source.name)
        self.addr: Cell[Addr] | None = None
        self.changes: list[tuple[str, ...]] = []
        self.name.subscribe(self._follow)
        self._follow()

    def hosts(self) -> tuple[str, ...]:
        addr = self.addr.value if self.addr else None
        return tuple(each.host for each in addr.endpoints) if isinstance(addr, AddrBound) else ()

    def close(self) -> None:
        self.name.unsubscribe(self._follow)
        if self.addr:
            self.addr.unsubscribe(self._note)

    def error(self) -> str | None:
        return (self.addr.error if self.addr else None) or self.name.error

    def _follow(self) -> None:
        if self.addr:
            self.addr.unsubscribe(self._note)
        match self.name.value:
            case Leaf(Bound() as bound):
                self.addr = bound.addr
                self.addr.subscribe(self._note)
            case _:
                self.addr = None
        self._note()

    def _note(self) -> None:
        if not self.changes or self.changes[-1] != self.hosts():
            self.changes.append(self.hosts())


class NamerContract:
    """Subclass as `Test...` and say what the source is, and how long it may take to notice, at most."""

    settled: ClassVar = SETTLED
    provenance: ClassVar = Provenance.FILE

    def source(self, live: Live) -> Source:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _scratch(self, tmp_path: pathlib.Path) -> None:
        self.tmp_path = tmp_path

    async def test_nothing_happens_before_somebody_subscribes(self, autojump_clock: MockClock) -> None:
        async with running() as live:
            source = self.source(live)
            source.serve("10.0.0.1")
            cell = source.namer.lookup(source.name)
            before = cell.value
            await trio.sleep(self.settled)

            assert cell.value == before
            assert live.resolver.asked == []

    async def test_first_pending_then_the_first_answer(self, autojump_clock: MockClock) -> None:
        async with running() as live:
            source = self.source(live)
            source.serve("10.0.0.1", "10.0.0.2")
            client = Client(source)
            assert client.name.value == PENDING or (client.addr and client.addr.value == AddrPending())

            await trio.sleep(self.settled)
            assert client.name.value == Leaf(Bound(source.id, Path(), Cell(AddrPending()), provenance=self.provenance))
            assert client.changes == [(), ("10.0.0.1", "10.0.0.2")]

    async def test_a_change_is_followed_without_a_gap(self, autojump_clock: MockClock) -> None:
        async with running() as live:
            source = self.source(live)
            source.serve("10.0.0.1")
            client = Client(source)
            await trio.sleep(self.settled)
            source.serve("10.0.0.1", "10.0.0.2")
            await trio.sleep(self.settled)
            source.serve("10.0.0.2")
            await trio.sleep(self.settled)

            assert client.changes == [(), ("10.0.0.1",), ("10.0.0.1", "10.0.0.2"), ("10.0.0.2",)]

    async def test_an_error_keeps_the_last_good_answer_and_is_told(self, autojump_clock: MockClock) -> None:
        async with running() as live:
            source = self.source(live)
            source.serve("10.0.0.1")
            client = Client(source)
            await trio.sleep(self.settled)

            source.break_()
            await trio.sleep(60)
            assert client.hosts() == ("10.0.0.1",)
            assert client.error()

            source.serve("10.0.0.2")
            await trio.sleep(self.settled)
            assert client.hosts() == ("10.0.0.2",)
            assert client.error() is None

    async def test_an_error_from_the_start_is_told_and_recovered_from(self, autojump_clock: MockClock) -> None:
        async with running() as live:
            source = self.source(live)
            source.break_()
            client = Client(source)
            await trio.sleep(60)
            assert client.hosts() == ()
            assert client.error()

            source.serve("10.0.0.1")
            await trio.sleep(self.settled)
            assert client.hosts() == ("10.0.0.1",)

    async def test_what_is_removed_is_gone_and_may_come_back(self, autojump_clock: MockClock) -> None:
        async with running() as live:
            source = self.source(live)
            source.serve("10.0.0.1")
            client = Client(source)
            await trio.sleep(self.settled)

            source.remove()
            await trio.sleep(self.settled)
            assert client.hosts() == ()

            source.serve("10.0.0.2")
            await trio.sleep(self.settled)
            assert client.hosts() == ("10.0.0.2",)

    async def test_it_ends_when_nobody_is_left(self, autojump_clock: MockClock) -> None:
        async with running() as live:
            source = self.source(live)
            source.serve("10.0.0.1")
            client = Client(source)
            await trio.sleep(self.settled)
            client.close()
            await trio.sleep(100)
            source.serve("10.0.0.2")
            await trio.sleep(self.settled)

            assert all(each.subscribers == 0 for each in live.watches.statistics())
            assert client.changes[-1] == ("10.0.0.1",)

            again = Client(source)
            await trio.sleep(self.settled)
            assert again.hosts() == ("10.0.0.2",)
