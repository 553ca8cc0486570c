"""Explanations: what the contract prints, and what waiting for discovery does to it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import trio

from balancer.balancer import Balancer
from balancer.params import AccrualParams, BalancerParams, make_balancer
from balancer.response_class import ResponseClass
from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.binding import Namers
from namer.builtin import builtin_namers
from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState, dtab_document
from namer.grammar import NameSyntaxError
from namer.health import Health
from namer.hosts import Hosts
from namer.namer import PENDING
from namer.nametree import NEG
from namer.path import Path
from namer.watch import Watches
from nodeagent.explain import explain, explain_any, names_of, with_live_state
from nodeagent.explanation import MAX_CHARS, Explanation
from nodeagent.proxy.guard import Guard, GuardPolicy
from tests.namer.fakes import FakeNamer

WEB = Endpoint("127.0.0.1", 8081)
PREFIX = Path.parse("/svc")


def a_namer() -> FakeNamer:
    namer = FakeNamer("/#/io.l5d.fs")
    namer.serve("web", WEB)
    namer.serve("v6", Endpoint("::1", 8082))
    namer.serve("empty")
    return namer


def namers(namer: FakeNamer) -> Namers:
    return Namers([(namer.prefix, namer)], builtin_namers(Hosts(Watches(random.Random(7)))))


async def explained(dtab: str, name: str, namer: FakeNamer | None = None) -> Explanation:
    return await explain(namers(namer or a_namer()), a_table(dtab), Path.parse(name), timeout=2.0)


def a_table(dtab: str) -> Cell[DtabState]:
    table: DtabState = Dtab.parse(dtab)
    return Cell.constant(table)


def settled(bound: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The leaves without what tells how fresh they are."""
    return [{key: leaf[key] for key in leaf if key not in ("version", "age")} for leaf in bound]


def leaf(id_: str, weight: float = 1.0, *endpoints: str, residual: str = "/") -> dict[str, Any]:
    return {"id": id_, "residual": residual, "weight": weight, "addr": "bound", "endpoints": list(endpoints)}


async def test_the_explanation_of_a_bound_name_is_the_object_of_the_contract(
    autojump_clock: trio.testing.MockClock,
) -> None:
    namer = a_namer()
    namer.serve("web", WEB, Endpoint("127.0.0.1", 8082))
    namer.serve("web", WEB)
    await trio.sleep(7.25)
    found = await explained("/svc => /#/io.l5d.fs", "/svc/web/a", namer)
    assert json.dumps(found.to_json()) == json.dumps(
        {
            "name": "/svc/web/a",
            "outcome": "bound",
            "bound": [
                {
                    "id": "/#/io.l5d.fs/web",
                    "residual": "/a",
                    "weight": 1.0,
                    "addr": "bound",
                    "endpoints": ["127.0.0.1:8081"],
                    "version": 3,
                    "age": 7.25,
                }
            ],
            "error": None,
            "steps": [{"path": "/svc/web/a", "dentry": "/svc => /#/io.l5d.fs", "to": "/#/io.l5d.fs/web/a"}],
        }
    )


WEB_LEAF = leaf("/#/io.l5d.fs/web", 1.0, "127.0.0.1:8081")


@pytest.mark.parametrize(
    ("dtab", "name", "outcome", "bound"),
    [
        pytest.param("/svc => /#/io.l5d.fs", "/svc/web", "bound", [WEB_LEAF], id="a leaf"),
        pytest.param(
            "/svc => /#/io.l5d.fs", "/svc/v6", "bound", [leaf("/#/io.l5d.fs/v6", 1.0, "[::1]:8082")], id="IPv6"
        ),
        pytest.param(
            "/svc => /#/io.l5d.fs", "/svc/empty", "bound", [leaf("/#/io.l5d.fs/empty")], id="bound to no endpoint"
        ),
        pytest.param(
            "/svc/a => 9 * /#/io.l5d.fs/web & 1 * /#/io.l5d.fs/v6",
            "/svc/a",
            "bound",
            [leaf("/#/io.l5d.fs/web", 0.9, "127.0.0.1:8081"), leaf("/#/io.l5d.fs/v6", 0.1, "[::1]:8082")],
            id="a union, in branch order",
        ),
        pytest.param(
            "/svc/a => 9 * /#/io.l5d.fs/web & 1 * $",
            "/svc/a",
            "bound",
            [leaf("/#/io.l5d.fs/web", 0.9, "127.0.0.1:8081")],
            id="an Empty branch keeps its share",
        ),
        pytest.param("/svc/a => /#/io.l5d.fs/none | /#/io.l5d.fs/web", "/svc/a", "bound", [WEB_LEAF], id="fallback"),
        pytest.param("/svc/a => 1 * $ & 1 * $", "/svc/a", "empty", [], id="a union of nothing but Empty"),
        pytest.param("/svc => /#/io.l5d.fs", "/svc/none", "neg", [], id="unknown name"),
        pytest.param("", "/svc/web", "neg", [], id="empty table"),
        pytest.param("/svc => $", "/svc/web", "empty", [], id="Empty"),
        pytest.param("/svc => ! | /#/io.l5d.fs", "/svc/web", "fail", [], id="Fail"),
        pytest.param(
            "/svc => /$/inet/127.0.0.1/80",
            "/svc",
            "bound",
            [leaf("/$/inet/127.0.0.1/80", 1.0, "127.0.0.1:80")],
            id="inet",
        ),
    ],
)
async def test_outcomes(dtab: str, name: str, outcome: str, bound: list[dict[str, Any]]) -> None:
    found = (await explained(dtab, name)).to_json()
    assert (found["outcome"], settled(found["bound"]), found["error"]) == (outcome, bound, None)


@pytest.mark.parametrize(
    ("dtab", "error"),
    [
        pytest.param("/svc => /$/x", "there is no namer /$/x", id="unknown built-in namer"),
        pytest.param("/svc => /svc", "the dtab goes in a circle", id="a circle"),
        pytest.param("/svc => /svc & /svc", "the dtab multiplies branches", id="a table that multiplies"),
    ],
)
async def test_a_name_that_cannot_be_bound_is_an_error(dtab: str, error: str) -> None:
    found = (await explained(dtab, "/svc/web")).to_json()
    assert (found["outcome"], found["bound"]) == ("error", [])
    assert error in found["error"]


class TestWaiting:
    """Nobody watched the name before; virtual time passes only by waiting."""

    async def test_a_known_name_takes_no_time(self, autojump_clock: trio.testing.MockClock) -> None:
        with trio.testing.assert_checkpoints():
            await explained("/svc => /#/io.l5d.fs", "/svc/web")
        assert trio.current_time() == 0.0

    async def test_a_tree_that_comes_in_time_is_bound(self, autojump_clock: trio.testing.MockClock) -> None:
        namer = a_namer()
        tree = namer.cell("late")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_after, 1.5, lambda: tree.set(namer.lookup(Path.parse("/web")).value, 1.5))
            found = await explained("/svc => /#/io.l5d.fs", "/svc/late", namer)
        assert settled(found.to_json()["bound"]) == [WEB_LEAF]
        assert trio.current_time() == 1.5

    async def test_a_tree_that_stays_unknown_is_an_error_with_the_reason(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        namer = a_namer()
        namer.cell("late").fail("OSError: no route to host", 0.0)
        found = await explained("/svc => /#/io.l5d.fs", "/svc/late", namer)
        assert found.outcome == "error"
        assert found.error == "/svc/late: discovery gave no answer within 2 s: OSError: no route to host"
        assert trio.current_time() == 2.0

    @pytest.mark.parametrize(
        ("value", "addr", "endpoints", "error"),
        [
            pytest.param(AddrBound((WEB,)), "bound", ["127.0.0.1:8081"], None, id="bound"),
            pytest.param(AddrFailed("refused"), "failed", [], "refused", id="failed"),
        ],
    )
    async def test_addresses_that_come_in_time(
        self,
        autojump_clock: trio.testing.MockClock,
        value: Addr,
        addr: str,
        endpoints: list[str],
        error: str | None,
    ) -> None:
        namer = a_namer()
        cell: Cell[Addr] = Cell(AddrPending())
        namer.addrs[Path.parse("/slow")] = cell
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_after, 1.0, lambda: cell.set(value, 1.0))
            found = await explained("/svc => /#/io.l5d.fs", "/svc/slow", namer)
        [shown] = found.to_json()["bound"]
        assert (shown["addr"], shown["endpoints"], shown.get("error")) == (addr, endpoints, error)

    async def test_a_host_that_does_not_exist_is_no_name(self, autojump_clock: trio.testing.MockClock) -> None:
        namer = a_namer()
        cell: Cell[Addr] = Cell(AddrPending())
        namer.addrs[Path.parse("/gone")] = cell
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_after, 1.0, lambda: cell.set(AddrNeg(), 1.0))
            alone = await explained("/svc => /#/io.l5d.fs", "/svc/gone", namer)
            others = await explained("/svc => /#/io.l5d.fs/gone | /#/io.l5d.fs/web", "/svc", namer)
        assert (alone.outcome, alone.bound) == ("neg", ())
        assert [name.id.show() for name in others.bound] == ["/#/io.l5d.fs/web"]

    async def test_addresses_that_stay_unknown_are_pending(self, autojump_clock: trio.testing.MockClock) -> None:
        namer = a_namer()
        namer.addrs[Path.parse("/slow")] = Cell(AddrPending())
        found = await explained("/svc => 1 * /#/io.l5d.fs/web & 1 * /#/io.l5d.fs/slow", "/svc", namer)
        assert found.outcome == "bound"
        assert [each["addr"] for each in found.to_json()["bound"]] == ["bound", "pending"]

    async def test_a_union_is_not_explained_by_its_fast_branch_alone(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        namer = a_namer()
        tree = namer.cell("late")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_after, 1.5, lambda: tree.set(namer.lookup(Path.parse("/v6")).value, 1.5))
            found = await explained("/svc => 9 * /#/io.l5d.fs/late & 1 * /#/io.l5d.fs/web", "/svc", namer)
        assert [(name.id.show(), name.weight) for name in found.bound] == [
            ("/#/io.l5d.fs/v6", 0.9),
            ("/#/io.l5d.fs/web", 0.1),
        ]
        assert found.doubts == ()

    async def test_a_branch_that_stays_unknown_is_told(self, autojump_clock: trio.testing.MockClock) -> None:
        namer = a_namer()
        namer.cell("late").fail("OSError: no route to host", 0.0, retry_at=3.0)
        found = await explained("/svc => 9 * /#/io.l5d.fs/late & 1 * /#/io.l5d.fs/web", "/svc", namer)
        assert (found.outcome, [name.id.show() for name in found.bound]) == ("bound", ["/#/io.l5d.fs/web"])
        assert found.unknown == (Path.parse("/#/io.l5d.fs/late"),)
        assert found.to_json()["doubts"] == [
            {
                "path": "/#/io.l5d.fs/late",
                "state": "pending",
                "age": None,
                "stale": 0.0,
                "error": "OSError: no route to host",
                "error_age": 2.0,
                "next_attempt": 1.0,
            }
        ]
        assert trio.current_time() == 2.0

    async def test_a_health_that_is_not_known_yet_is_waited_for(self, autojump_clock: trio.testing.MockClock) -> None:
        health = Cell(Health.UNKNOWN)

        async def explained() -> Explanation:
            dtab = a_table("/svc => /#/io.l5d.fs/web")
            return await explain(
                namers(a_namer()), dtab, PREFIX, timeout=2.0, assess=lambda bound: (health.value, health)
            )

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_after, 1.0, lambda: health.set(Health.UNUSABLE, 1.0))
            known = await explained()
        assert (known.unknown, trio.current_time()) == ((), 1.0)
        health.set(Health.UNKNOWN, 1.0)
        assert (await explained()).unknown == (PREFIX,)

    async def test_a_name_that_a_failing_source_denied_is_in_doubt(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        namer = a_namer()
        denied = namer.cell("gone")
        denied.set(NEG, 0.0)
        denied.fail("OSError: refused", 1.0)
        await trio.sleep(5.0)
        found = await explained("/svc => /#/io.l5d.fs/gone | /#/io.l5d.fs/none", "/svc", namer)
        [doubt] = found.doubts
        assert (doubt.path.show(), doubt.state) == ("/#/io.l5d.fs/gone", "neg")
        assert (doubt.freshness.age, doubt.freshness.stale) == (5.0, 4.0)
        assert (found.outcome, found.unknown) == ("neg", ())

    async def test_the_last_known_addresses_are_shown_with_what_went_wrong_since(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        namer = a_namer()
        namer.addrs[Path.parse("/web")].fail("OSError: gone", 5.0)
        await trio.sleep(6.5)
        found = await explained("/svc => /#/io.l5d.fs", "/svc/web", namer)
        trouble = {"stale": 1.5, "error": "OSError: gone", "error_age": 1.5, "next_attempt": None}
        assert found.to_json()["bound"] == [{**WEB_LEAF, "version": 1, "age": 6.5, **trouble}]

    async def test_the_sources_run_while_it_waits_and_are_let_go_however_it_ends(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        namer = a_namer()
        tree = namer.cell("late")
        with trio.move_on_after(1.0):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(explained, "/svc => /#/io.l5d.fs", "/svc/late", namer)
                await trio.testing.wait_all_tasks_blocked()
                assert tree.subscribers == 1
        assert tree.subscribers == 0
        await explained("/svc => /#/io.l5d.fs", "/svc/late", namer)
        assert tree.subscribers == 0


async def _after(seconds: float, act: Any) -> None:
    await trio.sleep(seconds)
    act()


async def test_the_names_that_were_passed_over_are_told() -> None:
    found = (await explained("/svc => /#/io.l5d.fs/empty | /#/io.l5d.fs/web", "/svc")).to_json()
    assert settled(found["bound"]) == [WEB_LEAF]
    assert settled(found["left"]) == [leaf("/#/io.l5d.fs/empty", 0.0)]


class TestTables:
    """The router's table may come from outside, too."""

    def a_cell(self) -> Cell[DtabState]:
        unknown: DtabState = PENDING
        return Cell(unknown)

    async def explained(self, table: Cell[DtabState], local: str = "") -> Explanation:
        name = Path.parse("/svc/web")
        return await explain(namers(a_namer()), table, name, local=Dtab.parse(local), timeout=2.0)

    async def test_it_is_waited_for(self, autojump_clock: trio.testing.MockClock) -> None:
        table = self.a_cell()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_after, 1.0, lambda: table.set(Dtab.parse("/svc => /#/io.l5d.fs"), 1.0))
            found = await self.explained(table)
        assert (found.outcome, found.dtab) == ("bound", None)

    async def test_one_that_does_not_come_is_an_error(self, autojump_clock: trio.testing.MockClock) -> None:
        found = await self.explained(self.a_cell())
        assert (found.outcome, found.error) == ("error", "/svc/web: the router's dtab was not there within 2 s")

    async def test_one_that_was_never_good_is_the_error_that_requests_get(self) -> None:
        table = self.a_cell()
        dtab_document().unusable(table, "/etc/dtab: No such file or directory", 0.0)
        found = await self.explained(table, local="/svc => /#/io.l5d.fs")
        assert (found.outcome, found.error) == ("error", "/etc/dtab: No such file or directory")
        assert "dtab_error" not in found.to_json()

    async def test_the_last_good_one_is_used_and_said_to_be_that(self, autojump_clock: trio.testing.MockClock) -> None:
        table = self.a_cell()
        table.set(Dtab.parse("/svc => /#/io.l5d.fs"), 0.0)
        await trio.sleep(12.0)
        dtab_document().unusable(table, "/etc/dtab:1:8: expected a path", 10.0)
        found = (await self.explained(table)).to_json()
        assert (found["outcome"], found["dtab_error"], found["dtab_age"]) == (
            "bound",
            "/etc/dtab:1:8: expected a path",
            12.0,
        )


class TestLiveState:
    """What a running agent adds."""

    def a_balancer(self) -> Balancer:
        rng = random.Random(7)
        balancer = make_balancer(BalancerParams(kind="p2c"), AccrualParams(failures=1), rng)
        balancer.update([WEB], 0.0)
        return balancer

    async def test_a_client_that_was_never_called_has_no_state(self) -> None:
        found = await explained("/svc => /#/io.l5d.fs", "/svc/web")
        assert settled(with_live_state(found, lambda id_: None).to_json()["bound"]) == [WEB_LEAF]

    async def test_health_load_and_ejections_stand_beside_the_endpoints(self) -> None:
        balancer = self.a_balancer()
        [node] = balancer.nodes
        for _ in range(2):
            balancer.begin(node, 0.0)
        balancer.end(node, 0.0, 1.0, ResponseClass.FAILURE)
        found = await explained("/svc => /#/io.l5d.fs", "/svc/web")
        shown = with_live_state(found, {Path.parse("/#/io.l5d.fs/web"): balancer.statistics()}.get).to_json()
        assert settled(shown["bound"]) == [
            {
                **WEB_LEAF,
                "state": [
                    {
                        "endpoint": "127.0.0.1:8081",
                        "health": "dead",
                        "load": 1,
                        "pending": 1,
                        "ejections": 1,
                        "reason": "failures",
                    }
                ],
            }
        ]


class TestHostileTables:
    """However a table multiplies, an explanation stays readable and small."""

    async def test_steps_that_would_not_fit_are_counted(self) -> None:
        found = (await explained("/svc => /svc/" + "x" * 1000 + " & /svc", "/svc")).to_json()
        assert len(json.dumps(found)) < MAX_CHARS + 10_000
        assert found["steps"]
        assert found["steps_left_out"] > 0

    async def test_leaves_that_would_not_fit_are_counted(self) -> None:
        namer = FakeNamer("/#/io.l5d.fs")
        namer.serve("web", *(Endpoint("127.0.0.1", port) for port in range(1, 1001)))
        doublings = " ; ".join(f"/d{n} => /d{n + 1} & /d{n + 1}" for n in range(10))
        found = (await explained(f"{doublings} ; /d10 => /#/io.l5d.fs/web", "/d0", namer)).to_json()
        assert len(json.dumps(found)) < 2 * MAX_CHARS + 100_000
        assert len(found["bound"]) + found["bound_left_out"] == 1024


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/svc/users", "/svc/users"),
        ("/", "/"),
        ("http://users/x", "/svc/users"),
        ("http://users", "/svc/users"),
        ("http://users?q=a/b", "/svc/users"),
        ("http://users#top", "/svc/users"),
        (" HTTP://Users.Example.org:80/ ", "/svc/users.example.org"),
        ("http://users:8080/", "/svc/users:8080"),
        ("https://users/", "/svc/users:443"),
        ("https://users:8443/", "/svc/users:8443"),
        ("https://users:80/", "/svc/users:80"),
        ("https://[::1]/", r"/svc/\x5b\x3a\x3a\x31\x5d\x3a\x34\x34\x33"),
    ],
)
def test_a_text_stands_for_a_name(text: str, name: str) -> None:
    assert names_of(text, PREFIX)[0].show() == name


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("/svc/users;v=2", r"found ';': ask http://users;v=2/, or /svc/users\x3bv\x3d2"),
        ("/svc/users;v=2/x", r"found ';': ask /svc/users\x3bv\x3d2/x"),
        (r"/x/a\x20b;v=ü", r"found ';': ask /x/a\x20b\x3bv\x3d\xc3\xbc"),
    ],
)
def test_a_path_with_a_semicolon_is_told_how_to_ask(text: str, instead: str) -> None:
    with pytest.raises(NameSyntaxError) as raised:
        names_of(text, PREFIX)
    assert str(raised.value).endswith(instead)
    assert raised.value.column == text.index(";") + 1


def test_what_it_is_told_to_ask_is_the_same_name() -> None:
    assert names_of("http://users;v=2/", PREFIX) == names_of(r"/svc/users\x3bv\x3d2", PREFIX)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected"),
        ("users", "expected"),
        ("/svc//users", "expected"),
        ("ftp://users/", "use http or https"),
        ("http://", "not a host name"),
        ("http://a b/", "not a host name"),
        ("http://me@users/", "not a host name"),
        ("http://bücher/", "not a host name"),
        ("http://users:99999/", "the port is not in 1..65535"),
        ("http://\udc80/", "not a host name"),
    ],
)
def test_a_text_that_stands_for_none_is_a_syntax_error(text: str, message: str) -> None:
    with pytest.raises(NameSyntaxError, match=message):
        names_of(text, PREFIX)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param(
            "/svc/127.0.0.1",
            {
                "endpoints": [],
                "refused": [
                    {
                        "endpoint": "127.0.0.1:80",
                        "error": "127.0.0.0/8 is loopback, and not for names that requests spell out; "
                        "addressGuard.allow can list the address",
                    }
                ],
            },
            id="refused",
        ),
        pytest.param("/svc/10.0.0.1", {"endpoints": ["10.0.0.1:80"]}, id="another address"),
        pytest.param("/svc/mine", {"endpoints": ["127.0.0.1:81"]}, id="spelled out by the table"),
    ],
)
async def test_addresses_that_a_request_may_not_name(name: str, expected: dict[str, object]) -> None:
    table = a_table("/svc => /$/io.buoyant.rinet/80 ; /svc/mine => /$/inet/127.0.0.1/81")
    guard = Guard(GuardPolicy())

    shown = (await explain(namers(a_namer()), table, Path.parse(name), timeout=2.0, guard=guard)).to_json()

    (leaf,) = shown["bound"]
    assert {key: leaf[key] for key in leaf if key in ("endpoints", "refused")} == expected


async def test_a_branch_whose_addresses_are_refused_is_passed_over() -> None:
    table = a_table("/svc => /#/io.l5d.fs/web ; /svc => /$/io.buoyant.rinet/80")
    guard = Guard(GuardPolicy())

    found = await explain(namers(a_namer()), table, Path.parse("/svc/localhost"), timeout=2.0, guard=guard)

    assert [name.id.show() for name in found.bound] == ["/#/io.l5d.fs/web"]
    (left,) = found.to_json()["left"]
    assert [each["endpoint"] for each in left["refused"]] == ["127.0.0.1:80"]


@pytest.mark.parametrize(
    ("dtab", "name"),
    [
        pytest.param("/svc => /$/inet/10.0.0.1/80", "/svc/users:443", id="both are known: the one with the port"),
        pytest.param("/svc/users => /$/inet/10.0.0.1/80", "/svc/users", id="only the service is known"),
        pytest.param(
            "/ph => /$/io.buoyant.rinet ; /svc => /ph/80 ; /svc => /$/io.buoyant.porthostPfx/ph",
            "/svc/users:443",
            id="only the DNS may know: the port asked for",
        ),
        pytest.param(
            "/ph => /$/io.buoyant.rinet ; /svc => /$/io.buoyant.porthostPfx/ph ; /svc/users => /$/inet/10.0.0.1/80",
            "/svc/users",
            id="a service goes before the DNS",
        ),
        pytest.param("", "/svc/users:443", id="nothing is known"),
    ],
)
async def test_an_https_url_is_explained_as_its_connect_is_routed(dtab: str, name: str) -> None:
    watches = Watches(random.Random(1))
    namers = Namers([], builtin_namers(Hosts(watches)))
    names = names_of("https://users/", PREFIX)

    explanation = await explain_any(namers, a_table(dtab), names, timeout=0.05)

    assert explanation.name.show() == name
