import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from namer.addr import Addr, AddrNeg, AddrPending
from namer.binding import Namers, Outcome, bind, verdict
from namer.cell import Cell
from namer.dtab import Dtab
from namer.namer import Bound
from namer.nametree import NEG
from namer.path import Path
from namer.settle import Addresses, settle, subscribed
from tests.namer.fakes import FakeNamer

NAMER = "/#/x"


def binding(namer: FakeNamer, dtab: str) -> Outcome:
    return bind(Path.parse("/svc"), Dtab.parse(dtab), Namers([(namer.prefix, namer)], {}))


async def test_what_is_known_is_given_at_once() -> None:
    namer = FakeNamer(NAMER, "web")

    outcome = await settle(lambda: binding(namer, "/svc => /#/x/web"))

    assert verdict(outcome.state) == "bound"


async def test_it_is_computed_again_until_nothing_is_pending(autojump_clock: MockClock) -> None:
    namer = FakeNamer(NAMER, "web")
    first, second = namer.cell("first"), namer.cell("second")

    async def answer() -> None:
        await trio.sleep(1)
        first.set(NEG, trio.current_time())
        await trio.sleep(1)
        second.set(NEG, trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        outcome = await settle(lambda: binding(namer, "/svc => /#/x/first | /#/x/second | /#/x/web"))

    assert trio.current_time() == 2
    assert verdict(outcome.state) == "bound"
    assert (first.subscribers, second.subscribers) == (0, 0)


async def test_whoever_has_no_time_looks_once_more(autojump_clock: MockClock) -> None:
    namer = FakeNamer(NAMER)
    cell = namer.cell("web")
    with trio.move_on_after(2):
        await settle(lambda: binding(namer, "/svc => /#/x/web"))

    assert binding(namer, "/svc => /#/x/web").pending
    assert cell.subscribers == 0


async def test_addresses() -> None:
    cells: list[Cell[Addr]] = [Cell(AddrNeg()), Cell(AddrPending())]
    bounds = [Bound(Path(), Path(), cell) for cell in cells]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(settle, lambda: Addresses.of(bounds))
        await wait_all_tasks_blocked()
        assert [cell.subscribers for cell in cells] == [1, 1]

        cells[1].set(AddrNeg(), now=0.0)


def test_a_subscription_for_a_block() -> None:
    heard: list[int] = []
    cell = Cell(0)

    def note() -> None:
        heard.append(cell.value)

    with subscribed([cell, cell], note):
        cell.set(1, now=0.0)
    cell.set(2, now=0.0)

    assert heard == [1]
