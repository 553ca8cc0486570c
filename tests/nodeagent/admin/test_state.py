"""What discovery and the balancers know, as it is shown."""

from __future__ import annotations

import random

import pytest
import trio

from balancer.params import BalancerParams
from balancer.zones import ZoneParams
from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState, dtab_document
from namer.namer import PENDING, Failure
from namer.nametree import NEG, Leaf
from namer.path import Path
from namer.watch import Watches, WatchKey, WatchStatistics
from nodeagent.admin.state import bound_names, client_state, logical_names, namer_state, routers
from nodeagent.proxy.balance import ClientPolicy
from tests.nodeagent.admin.fakes import FakeAgent, a_table

WEB = Path.parse("/web")
NOW = 100.0


async def test_names_in_use_are_listed_once() -> None:
    agent = FakeAgent()
    agent.namer.serve("api", Endpoint("127.0.0.1", 9))
    for name in ("/svc/web", "/svc/web/a", "/svc/api", "/svc/none"):
        agent.use(name)
    assert bound_names(agent.routers) == ["/#/io.l5d.fs/api", "/#/io.l5d.fs/web"]


async def test_a_client_is_shown_with_its_addresses_and_with_what_its_router_makes_of_them() -> None:
    agent = FakeAgent()
    agent.namer.serve("web", Endpoint("127.0.0.1", 8081))
    agent.namer.addrs[WEB].updated_at = 98.75
    agent.use("/svc/web")
    assert client_state(agent.routers, NOW) == {
        "/#/io.l5d.fs/web": {
            "addr": "bound",
            "endpoints": ["127.0.0.1:8081"],
            "version": 2,
            "age": 1.25,
            "error": None,
            "routers": {
                "outgoing": {
                    "connections": 0,
                    "alive": 1,
                    "dead": 0,
                    "probing": 0,
                    "endpoints": [
                        {"endpoint": "127.0.0.1:8081", "health": "alive", "load": 0.0, "pending": 0, "ejections": 0}
                    ],
                }
            },
        }
    }


async def test_zones_are_shown_where_there_are_any() -> None:
    agent = FakeAgent()
    agent.policy = ClientPolicy(balancer=BalancerParams(zones=ZoneParams("a")))
    agent.namer.serve("web", Endpoint("127.0.0.1", 8081, meta=(("zone", "a"),)), Endpoint("127.0.0.1", 8082))
    agent.use("/svc/web")
    [shown] = client_state(agent.routers, NOW).values()
    assert shown["routers"]["outgoing"]["local_share"] == 1.0
    assert [each.get("zone") for each in shown["routers"]["outgoing"]["endpoints"]] == ["a", None]


async def test_routers_that_share_a_name_are_shown_side_by_side() -> None:
    agent = FakeAgent()
    for router in agent.routers:
        router.router.bindings.binding(Path.parse("/$/inet/127.0.0.1/8080"), None)
    [shown] = client_state(agent.routers, NOW).values()
    assert list(shown["routers"]) == ["outgoing", "incoming"]
    assert shown["age"] is None  # an address that is written in the name is never confirmed by anybody


async def test_the_states_of_an_address() -> None:
    agent = FakeAgent()
    agent.namer.addrs |= {
        Path.parse("/neg"): Cell(AddrNeg()),
        Path.parse("/pending"): Cell(AddrPending()),
        Path.parse("/failed"): Cell(AddrFailed("refused")),
        Path.parse("/stale"): Cell(AddrNeg()),
    }
    agent.namer.addrs[Path.parse("/stale")].fail("OSError: gone", NOW)
    for name in ("neg", "pending", "failed", "stale"):
        agent.use(f"/svc/{name}")
    shown = client_state(agent.routers, NOW)
    assert {id_: (state["addr"], state["error"]) for id_, state in shown.items()} == {
        "/#/io.l5d.fs/neg": ("neg", None),
        "/#/io.l5d.fs/pending": ("pending", None),
        "/#/io.l5d.fs/failed": ("failed", "refused"),
        "/#/io.l5d.fs/stale": ("neg", "OSError: gone"),
    }


async def test_sources_are_shown_with_their_age_and_last_error(autojump_clock: trio.testing.MockClock) -> None:
    watches = Watches(random.Random(7))

    async def feed(cell: Cell[Addr]) -> None:
        cell.set(AddrBound((Endpoint("127.0.0.1", 8081),)), trio.current_time())
        raise OSError("gone")

    pending: Addr = AddrPending()
    cell = watches.cell(WatchKey("/#/io.l5d.fs", "file", "web"), pending, feed)
    unknown = watches.cell(WatchKey("/#/io.l5d.fs", "file", "nobody-asks"), pending, feed)
    cell.subscribe(lambda: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(watches.run)
        await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert namer_state(watches.statistics(), 2.0) == [
        {
            "source": "/#/io.l5d.fs",
            "what": "file",
            "name": "web",
            "subscribers": 1,
            "state": "bound",
            "endpoints": 1,
            "version": 1,
            "age": 2.0,
            "stale": 2.0,
            "overdue": False,
            "error": "OSError: gone",
            "error_age": 2.0,
            "next_attempt": 0.0,
        },
        {
            "source": "/#/io.l5d.fs",
            "what": "file",
            "name": "nobody-asks",
            "subscribers": 0,
            "state": "pending",
            "endpoints": None,
            "version": 0,
            "age": None,
            "stale": 0.0,
            "overdue": False,
            "error": None,
            "error_age": None,
            "next_attempt": None,
        },
    ]
    assert unknown.value == pending


@pytest.mark.parametrize(
    ("value", "state"),
    [
        pytest.param(AddrBound(()), "bound", id="an address"),
        pytest.param(AddrFailed("refused"), "failed", id="an address that is not found"),
        pytest.param(PENDING, "pending", id="a name that is not known yet"),
        pytest.param(Failure("gone"), "failed", id="a name that cannot be known"),
        pytest.param(NEG, "neg", id="a name that is not there"),
        pytest.param(Leaf(Path.parse("/srv/web")), "bound", id="a name"),
        pytest.param(b"raw", None, id="something else"),
    ],
)
def test_what_a_source_says_is_one_word(value: object, state: str | None) -> None:
    watch = WatchStatistics(
        WatchKey("/#/io.l5d.fs", "name", "/web"), value, 1, 1, NOW, None, None, None, None, overdue=False
    )
    [shown] = namer_state([watch], NOW)
    assert shown["state"] == state


async def test_logical_names_are_listed_with_their_router_and_the_dentries_of_the_caller() -> None:
    agent = FakeAgent()
    agent.use("/svc/web")
    agent.routers[1].router.bindings.binding(Path.parse("/svc/web"), Dtab.parse("/svc => /$/nil"))
    assert logical_names(agent.routers) == [
        {
            "router": "outgoing",
            "name": "/svc/web",
            "dtab": None,
            "clients": [{"id": "/#/io.l5d.fs/web", "weight": 1.0}],
        },
        {"router": "incoming", "name": "/svc/web", "dtab": "/svc => /$/nil", "clients": []},
    ]


async def test_routers_are_listed_with_their_listeners_and_tables() -> None:
    agent = FakeAgent()
    agent.routers = (agent.router("out", a_table(Dtab.parse("/a => /b ; /c => /d"))),)
    [shown] = routers(agent.routers, trio.current_time())
    assert (shown["router"], shown["prefix"], shown["servers"]) == ("out", "/svc", ["127.0.0.1:4140"])
    assert (shown["dtab"], shown["error"]) == ("/a => /b;\n/c => /d", None)


async def test_a_table_that_fails_is_not_shown_as_an_empty_one() -> None:
    agent = FakeAgent()
    unknown: DtabState = PENDING
    table = Cell(unknown)
    agent.routers = (agent.router("out", table),)

    def shown() -> tuple[str | None, str | None]:
        [router] = routers(agent.routers, trio.current_time())
        return router["dtab"], router["error"]

    assert shown() == (None, None)
    dtab_document().unusable(table, "/etc/dtab: gone", 0.0)
    assert shown() == (None, "/etc/dtab: gone")
    table.set(Dtab.parse("/a => /b"), 0.0)
    dtab_document().unusable(table, "/etc/dtab: gone", 0.0)
    assert shown() == ("/a => /b", "/etc/dtab: gone")
