import trio

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.cell import Cell
from namer.hosts import fail_addr
from namer.namer import PENDING, Bound, ConstantNamer, NameState, RewritingNamer
from namer.nametree import EMPTY, NEG, Leaf
from namer.path import Path
from namer.watch import WatchKey
from tests.namer.contract_namer import NamerContract, Source
from tests.namer.fakes import Live


def test_a_constant_namer_says_the_same_of_every_name() -> None:
    namer = ConstantNamer(EMPTY)

    assert namer.lookup(Path()).value == namer.lookup(Path.parse("/a/b")).value == EMPTY


def test_a_rewriting_namer_answers_with_a_name_or_neg() -> None:
    namer = RewritingNamer(lambda path: path[1:] if path else None)

    assert namer.lookup(Path.parse("/a/b")).value == Leaf(Path.parse("/b"))
    assert namer.lookup(Path()).value == NEG


def test_bound_names_are_compared_by_their_name() -> None:
    one, other = Cell[Addr](AddrNeg()), Cell[Addr](AddrPending())

    assert Bound(Path.parse("/a"), Path(), one) == Bound(Path.parse("/a"), Path(), other)
    assert Bound(Path.parse("/a"), Path(), one) != Bound(Path.parse("/a"), Path.parse("/x"), one)
    assert str(Bound(Path.parse("/a"), Path(), one)) == "/a"


class ModelSource(Source):
    """A namer as simple as can be: it looks at a variable once a second."""

    def __init__(self, live: Live) -> None:
        self.namer = self
        self.name = Path.parse("/web")
        self.id = Path.parse("/#/model/web")
        self._watches = live.watches
        self._hosts: tuple[str, ...] | None = None
        self._broken = False

    def serve(self, *hosts: str) -> None:
        self._hosts, self._broken = hosts, False

    def break_(self) -> None:
        self._broken = True

    def remove(self) -> None:
        self._hosts = None

    def lookup(self, path: Path) -> Cell[NameState]:
        pending: NameState = PENDING
        return self._watches.cell(WatchKey("/#/model", "name", "/web"), pending, self._feed_name)

    async def _feed_name(self, cell: Cell[NameState]) -> None:
        pending: Addr = AddrPending()
        addr = self._watches.cell(WatchKey("/#/model", "address", "/web"), pending, self._feed_addr)
        cell.set(Leaf(Bound(self.id, Path(), addr)), trio.current_time())

    async def _feed_addr(self, cell: Cell[Addr]) -> None:
        while True:
            self._look(cell)
            await trio.sleep(1)

    def _look(self, cell: Cell[Addr]) -> None:
        now = trio.current_time()
        if self._broken:
            fail_addr(cell, "broken", now)
        elif self._hosts is None:
            cell.set(AddrNeg(), now)
        else:
            cell.set(AddrBound(tuple(Endpoint(host, 80) for host in self._hosts)), now)


class TestTheModelKeepsTheContract(NamerContract):
    def source(self, live: Live) -> Source:
        return ModelSource(live)


def test_a_failure_is_an_address_only_where_nothing_better_is_known() -> None:
    cell = Cell[Addr](AddrPending())
    fail_addr(cell, "down", now=1.0)
    assert (cell.value, cell.error) == (AddrFailed("down"), "down")

    cell.set(AddrNeg(), now=1.5)
    fail_addr(cell, "down again", now=1.7)
    assert (cell.value, cell.error) == (AddrNeg(), "down again")

    cell.set(AddrBound(()), now=2.0)
    fail_addr(cell, "down again", now=3.0)
    assert (cell.value, cell.error, cell.updated_at) == (AddrBound(()), "down again", 2.0)
