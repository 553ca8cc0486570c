"""What discovery and the balancers know, as it is shown."""

from __future__ import annotations

import random

import trio

from namer.addr import AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.cell import Cell
from namer.path import Path
from namer.watch import Watches, WatchKey
from nodeagent.admin.state import bound_names, client_state, namer_state
from tests.nodeagent.admin.fakes import FakeAgent

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

    async def feed(cell: Cell[str]) -> None:
        cell.set("v1", trio.current_time())
        raise OSError("gone")

    cell = watches.cell(WatchKey("/#/io.l5d.fs", "file", "web"), "", feed)
    unknown = watches.cell(WatchKey("/#/io.l5d.fs", "file", "nobody-asks"), "", feed)
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
            "version": 1,
            "age": 2.0,
            "error": "OSError: gone",
        },
        {
            "source": "/#/io.l5d.fs",
            "what": "file",
            "name": "nobody-asks",
            "subscribers": 0,
            "version": 0,
            "age": None,
            "error": None,
        },
    ]
    assert unknown.value == ""
