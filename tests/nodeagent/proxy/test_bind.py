"""Bound names: bound once, again when something changes, forgotten when unused, and never an error for lack of room."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from balancer.backoff import ConstantBackoff
from namer.addr import Addr, AddrBound, AddrNeg, AddrPending, Endpoint
from namer.binding import Namers
from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState
from namer.namer import PENDING, Bound, Failure, NameState
from namer.nametree import NEG, Leaf
from namer.path import Path
from nodeagent.proxy.alarms import Alarms
from nodeagent.proxy.balance import ClientPolicy
from nodeagent.proxy.bind import Bindings, CacheLimits
from nodeagent.proxy.classify import make_classifier
from nodeagent.proxy.clients import AT_A_TIME
from nodeagent.proxy.compose import Composer
from nodeagent.proxy.dial import Dialer
from nodeagent.proxy.errors import BindTimeout, NoEndpoints, NoSuchName
from nodeagent.proxy.service import ServicePolicy
from nodeagent.telemetry.registry import Registry

WEB = Path.parse("/svc/web")
ONE: Addr = AddrBound((Endpoint("127.0.0.1", 1),))


class Discovery:
    """A namer that says what it is told; names that nobody spoke of are bound to one endpoint."""

    def __init__(self) -> None:
        self.names: dict[Path, Cell[NameState]] = {}
        self.addrs: dict[Path, Cell[Addr]] = {}

    def lookup(self, path: Path) -> Cell[NameState]:
        return self.names.setdefault(path, Cell(self.leaf(path)))

    def leaf(self, path: Path) -> NameState:
        return Leaf(Bound(Path.parse("/#/d") + path, Path(()), self.addrs.setdefault(path, Cell(ONE))))

    def say(self, name: str, state: NameState) -> Cell[NameState]:
        """Set what a name is, whether or not it was asked for."""
        cell = self.names.setdefault(Path.parse(name), Cell(state))
        cell.set(state, trio.current_time())
        return cell


def make(discovery: Discovery, *, table: Cell[DtabState] | None = None, limits: CacheLimits | None = None) -> Bindings:
    stats = Registry()
    composer = Composer(
        "test",
        client_policy=lambda id_: ClientPolicy(),
        service_policy=lambda name: ServicePolicy(
            make_classifier("io.l5d.http.nonRetryable5XX"), frozenset(), ConstantBackoff(0.0).delays
        ),
        dialer=Dialer(lambda endpoint: False),
        stats=stats,
        rng=random.Random(1),
        alarms=Alarms(),
    )
    own: DtabState = Dtab.parse("/svc => /#/d")
    return Bindings(
        dtab=table or Cell(own),
        namers=Namers([(Path.parse("/#/d"), discovery)], {}),
        limits=limits or CacheLimits(),
        timeout=10.0,
        make_client=composer.client,
        make_service=composer.service,
    )


async def test_a_name_is_bound_once() -> None:
    bindings = make(Discovery())

    first = await bindings.service(WEB, None)

    assert bindings.service_nowait(WEB, None) is first
    assert (bindings.name_counts.misses, bindings.clients.counts.misses) == (1, 1)


async def test_two_names_for_one_thing_share_its_client() -> None:
    discovery = Discovery()
    bindings = make(discovery)
    discovery.say("/alias", discovery.leaf(Path.parse("/web")))

    web, alias = await bindings.service(WEB, None), await bindings.service(Path.parse("/svc/alias"), None)

    assert web.clients == alias.clients


async def test_a_local_table_makes_a_binding_of_its_own() -> None:
    bindings = make(Discovery())
    local = Dtab.parse("/svc/web => /#/d/other")

    plain, other = await bindings.service(WEB, None), await bindings.service(WEB, local)

    assert [client.id.show() for client in (*plain.clients, *other.clients)] == ["/#/d/web", "/#/d/other"]


async def test_a_change_of_the_name_is_seen_at_once() -> None:
    discovery = Discovery()
    bindings = make(discovery)
    before = await bindings.service(WEB, None)

    discovery.say("/web", discovery.leaf(Path.parse("/moved")))
    after = bindings.service_nowait(WEB, None)

    assert after is not None
    assert after is not before
    assert after.clients[0].id.show() == "/#/d/moved"


async def test_a_change_of_the_table_is_seen_at_once() -> None:
    own: DtabState = Dtab.parse("/svc => /#/d")
    table = Cell(own)
    bindings = make(Discovery(), table=table)
    await bindings.service(WEB, None)

    table.set(Dtab.parse("/svc/web => /#/d/green"), trio.current_time())
    service = bindings.service_nowait(WEB, None)

    assert service is not None
    assert service.clients[0].id.show() == "/#/d/green"


@pytest.mark.parametrize(
    ("state", "error"),
    [
        pytest.param(NEG, NoSuchName, id="nothing there"),
        pytest.param(Failure("the disk is on fire"), NoEndpoints, id="a source that failed"),
        pytest.param(Failure("in a circle", lasting=True), NoSuchName, id="a table at fault"),
    ],
)
async def test_what_is_not_bound_is_an_error_and_the_error_is_not_remembered(
    state: NameState, error: type[Exception]
) -> None:
    discovery = Discovery()
    bindings = make(discovery)
    discovery.say("/web", state)
    with pytest.raises(error):
        await bindings.service(WEB, None)

    discovery.say("/web", discovery.leaf(Path.parse("/web")))

    assert (await bindings.service(WEB, None)).clients[0].id.show() == "/#/d/web"


async def test_binding_ends_exactly_at_its_timeout(autojump_clock: MockClock) -> None:
    discovery = Discovery()
    bindings = make(discovery)
    discovery.say("/web", PENDING)
    started = trio.current_time()

    with pytest.raises(BindTimeout, match="/svc/web"):
        await bindings.service(WEB, None)

    assert trio.current_time() - started == pytest.approx(10.0)


async def test_who_waits_is_served_when_discovery_answers(autojump_clock: MockClock) -> None:
    discovery = Discovery()
    bindings = make(discovery)
    discovery.say("/web", PENDING)
    discovery.addrs[Path.parse("/web")] = Cell(AddrPending())

    async def answer() -> None:
        await trio.sleep(3)
        discovery.say("/web", discovery.leaf(Path.parse("/web")))
        await trio.sleep(3)
        discovery.addrs[Path.parse("/web")].set(ONE, trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        started = trio.current_time()
        service = await bindings.service(WEB, None)

    assert trio.current_time() - started == pytest.approx(6.0)
    assert service.ready


async def test_a_full_cache_lets_go_of_what_was_not_used() -> None:
    bindings = make(Discovery(), limits=CacheLimits(names=3))
    for name in ("a", "b", "c"):
        await bindings.service(Path(("svc", name)), None)
    await bindings.sweep(0.0)  # from here on, use counts anew
    bindings.service_nowait(Path.parse("/svc/a"), None)

    for name in ("d", "e"):
        await bindings.service(Path(("svc", name)), None)

    assert {path.show() for path in bindings.names if isinstance(path, Path)} == {"/svc/a", "/svc/d", "/svc/e"}
    assert bindings.name_counts.evicts == 2


async def test_a_flood_of_names_never_fails_and_stays_within_bounds() -> None:
    bindings = make(Discovery(), limits=CacheLimits(names=10, clients=10))

    for number in range(500):
        service = await bindings.service(Path(("svc", f"n{number}")), None)
        assert service.clients[0].id[-1] == f"n{number}"

    assert (len(bindings.names), len(bindings.clients) <= 11) == (10, True)


async def test_what_nobody_uses_is_forgotten_and_its_source_let_go() -> None:
    discovery = Discovery()
    bindings = make(discovery, limits=CacheLimits(idle_ttl=60))
    await bindings.service(WEB, None)
    (cell,) = discovery.names.values()
    assert cell.subscribers == 1

    for now in (0.0, 59.0, 61.0):
        await bindings.sweep(now)
    held = bool(bindings.clients)
    for now in (62.0, 123.0):
        await bindings.sweep(now)

    assert (bindings.names, held, dict(bindings.clients), cell.subscribers) == ({}, True, {}, 0)


async def test_a_host_that_does_not_exist_is_told() -> None:
    discovery = Discovery()
    discovery.addrs[Path.parse("/web")] = Cell(AddrNeg())

    with pytest.raises(NoSuchName) as caught:
        await make(discovery).service(WEB, None)
    assert caught.value.message == "bind /svc/web: no such host or service: /#/d/web"


async def test_closing_lets_go_of_everything() -> None:
    discovery = Discovery()
    bindings = make(discovery)
    await bindings.service(WEB, None)

    bindings.close()

    assert [cell.subscribers for cell in discovery.names.values()] == [0]
    assert [cell.subscribers for cell in discovery.addrs.values()] == [0]


def many(count: int) -> list[Path]:
    return [Path(("svc", f"n{number}")) for number in range(count)]


def table_of(text: str) -> Cell[DtabState]:
    own: DtabState = Dtab.parse(text)
    return Cell(own)


def first_labels(bindings: Bindings) -> set[str]:
    """The first label behind the namer's prefix, of all that the names are bound to now."""
    return {client.id[2] for binding in bindings.names.values() for client in binding.clients}


async def test_a_change_of_the_table_binds_nothing_again_before_somebody_asks() -> None:
    table = table_of("/svc => /#/d/old")
    bindings = make(Discovery(), table=table)
    one, _ = [await bindings.service(name, None) for name in many(2)]

    table.set(Dtab.parse("/svc => /#/d/new"), trio.current_time())
    made = bindings.clients.counts.misses
    asked = bindings.service_nowait(many(2)[0], None)

    assert made == 2
    assert asked is not one
    assert first_labels(bindings) == {"new", "old"}


async def test_names_that_nobody_asks_for_follow_with_the_next_sweep() -> None:
    table = table_of("/svc => /#/d/old")
    discovery = Discovery()
    bindings = make(discovery, table=table)
    for name in many(3):
        await bindings.service(name, None)

    table.set(Dtab.parse("/svc => /#/d/new"), trio.current_time())
    await bindings.sweep(trio.current_time())

    assert first_labels(bindings) == {"new"}
    assert {path.show(): cell.subscribers for path, cell in discovery.names.items()} == {
        **{f"/old/n{number}": 0 for number in range(3)},
        **{f"/new/n{number}": 1 for number in range(3)},
    }


async def test_a_sweep_over_many_names_gives_others_their_turn() -> None:
    table = table_of("/svc => /#/d/old")
    bindings = make(Discovery(), table=table)
    for name in many(4 * AT_A_TIME):
        await bindings.service(name, None)
    behind: list[int] = []

    async def look() -> None:
        while True:
            behind.append(sum(binding.outdated for binding in bindings.names.values()))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        table.set(Dtab.parse("/svc => /#/d/new"), trio.current_time())
        await bindings.sweep(trio.current_time())
        nursery.cancel_scope.cancel()

    steps = [before - after for before, after in pairwise(behind)]
    assert 0 < max(steps) <= 2 * AT_A_TIME, "two at most, for trio gives turns in any order"
    assert sum(steps) > 2 * AT_A_TIME


async def test_names_that_leave_during_a_sweep_are_left_alone() -> None:
    table = table_of("/svc => /#/d")
    bindings = make(Discovery(), table=table)
    for name in many(2 * AT_A_TIME):
        await bindings.service(name, None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bindings.sweep, 0.0)
        await trio.lowlevel.checkpoint()
        bindings.close()

    assert (bindings.names, dict(bindings.clients)) == ({}, {})


async def test_a_request_under_way_learns_that_another_service_took_the_place_of_its_own() -> None:
    table = table_of("/svc => /#/d")
    bindings = make(Discovery(), table=table)
    before = await bindings.service(WEB, None)
    while_it_holds = before.successor(before)

    table.set(Dtab.parse("/svc/web => /#/d/green"), trio.current_time())
    renew = before.successor(before)

    assert while_it_holds is None
    assert renew is not None
    assert await renew() is bindings.service_nowait(WEB, None)


async def test_a_request_finishes_with_what_it_has_when_all_is_closed() -> None:
    table = table_of("/svc => /#/d")
    bindings = make(Discovery(), table=table)
    service = await bindings.service(WEB, None)

    bindings.close()
    table.set(Dtab.parse("/svc/web => /#/d/green"), trio.current_time())

    assert service.successor(service) is None


async def test_names_that_leave_are_freed_at_once() -> None:
    bindings = make(Discovery())
    for name in many(5):
        await bindings.service(name, None)
    gc.collect()
    gc.disable()
    try:
        held = [
            weakref.ref(each) for each in (*bindings.clients.values(), *(b.service for b in bindings.names.values()))
        ]
        bindings.close()
        left = [ref() for ref in held if ref() is not None]
    finally:
        gc.enable()

    assert left == []


async def test_a_name_that_somebody_waits_for_does_not_make_room_for_others(autojump_clock: MockClock) -> None:
    discovery = Discovery()
    bindings = make(discovery, limits=CacheLimits(names=2))
    slow = many(5)
    for name in slow:
        discovery.say(f"/{name[1]}", PENDING)
    answers: dict[Path, str] = {}

    async def ask(name: Path) -> None:
        answers[name] = (await bindings.service(name, None)).clients[0].id[-1]

    async with trio.open_nursery() as nursery:
        for name in slow:
            nursery.start_soon(ask, name)
        await trio.sleep(1)
        for name in slow:
            discovery.say(f"/{name[1]}", discovery.leaf(name[1:]))

    assert answers == {name: name[1] for name in slow}


async def test_a_name_that_moves_to_where_nothing_is_known_yet_is_waited_for(autojump_clock: MockClock) -> None:
    discovery = Discovery()
    discovery.addrs[Path.parse("/gone")] = gone = Cell[Addr](AddrPending())
    late = discovery.say("/late", PENDING)
    bindings = make(discovery, table=Cell[DtabState](Dtab.parse("/svc/web => /#/d/gone | /#/d/late")))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_later, 0.5, lambda: gone.set(AddrNeg(), 0.5))
        nursery.start_soon(_later, 1.0, lambda: late.set(discovery.leaf(Path.parse("/web")), 1.0))
        service = await bindings.service(WEB, None)

    assert [client.id.show() for client in service.clients] == ["/#/d/web"]
    assert trio.current_time() == 1.0


async def test_who_holds_a_name_that_was_let_go_may_bind_it_anew() -> None:
    bindings = make(Discovery(), limits=CacheLimits(names=1, clients=1))
    held = await bindings.service(WEB, None)
    await bindings.service(Path.parse("/svc/other"), None)

    renew = held.successor(held)

    assert renew is not None
    again = await renew()
    assert [len(client.balancer.nodes) for client in (*held.clients, *again.clients)] == [0, 1]


async def _later(seconds: float, act: Callable[[], object]) -> None:
    await trio.sleep(seconds)
    act()


async def test_the_same_name_of_two_namers_is_called_by_two_clients() -> None:
    discovery = Discovery()
    bindings = make(discovery, table=Cell[DtabState](Dtab.parse("/svc/web => /#/d/a | /#/d/b")))
    both = Path.parse("/#/d/both")
    empty: Cell[Addr] = Cell(AddrBound(()))
    discovery.say("/a", Leaf(Bound(both, Path(()), empty)))
    discovery.say("/b", Leaf(Bound(both, Path(()), Cell[Addr](ONE), twin=1)))

    service = await bindings.service(WEB, None)

    assert [len(client.balancer.nodes) for client in service.clients] == [1]
    assert [client.id for client in bindings.clients.values()] == [both, both]


async def test_many_wait_for_one_answer(autojump_clock: MockClock) -> None:
    discovery = Discovery()
    late = discovery.say("/web", PENDING)
    bindings = make(discovery)
    services = []

    async def ask() -> None:
        services.append(await bindings.service(WEB, None))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
        nursery.start_soon(_later, 1.0, lambda: late.set(discovery.leaf(Path.parse("/web")), 1.0))

    assert len(set(map(id, services))) == 1
    assert trio.current_time() == 1.0


async def test_a_service_that_was_replaced_is_freed_at_once() -> None:
    table = table_of("/svc => /#/d")
    bindings = make(Discovery(), table=table)
    replaced = weakref.ref(await bindings.service(WEB, None))
    gc.collect()
    gc.disable()
    try:
        table.set(Dtab.parse("/svc/web => /#/d/green"), trio.current_time())
        await bindings.service(WEB, None)
        left = replaced()
    finally:
        gc.enable()

    assert left is None
