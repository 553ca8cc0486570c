"""What the tests of the file namer share: a namer on a real directory."""

import pathlib

import trio

from namer.addr import Addr, AddrBound, AddrPending, Endpoint
from namer.cell import Cell
from namer.fs import FsNamer
from namer.namer import Bound, NameState
from namer.nametree import Leaf
from namer.path import Path
from tests.namer.fakes import Live


def ignore() -> None:
    """Somebody who only wants the value to be live."""


def fs_namer(live: Live, root: pathlib.Path) -> FsNamer:
    return FsNamer(Path.parse("/#/io.l5d.fs"), root, live.watches, live.files, live.hosts)


def bound(id_: str, residual: str = "/") -> NameState:
    return Leaf(Bound(Path.parse(id_), Path.parse(residual), Cell.constant(AddrPending())))


def endpoints(*authorities: str) -> Addr:
    pairs = [each.rsplit(":", 1) for each in authorities]
    return AddrBound(tuple(Endpoint(host, int(port)) for host, port in pairs))


async def looked_up(live: Live, root: pathlib.Path, name: str, seconds: float = 1.0) -> Cell[NameState]:
    cell = fs_namer(live, root).lookup(Path.parse(name))
    cell.subscribe(ignore)
    await trio.sleep(seconds)
    return cell


async def addr_of(live: Live, root: pathlib.Path, name: str = "/web") -> Cell[Addr]:
    state = (await looked_up(live, root, name)).value
    assert isinstance(state, Leaf)
    assert isinstance(state.value, Bound)
    state.value.addr.subscribe(ignore)
    await trio.sleep(0.1)
    return state.value.addr
