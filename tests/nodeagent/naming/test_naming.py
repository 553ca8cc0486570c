"""Namers from configuration: their prefixes, their order, and that nothing is asked before somebody wants it."""

from __future__ import annotations

import pathlib
import pkgutil
import random

import pytest
import trio
from structlog.testing import capture_logs

import conf
from conf.router import AnyRouter
from namer.addr import Addr, AddrBound, AddrFailed, AddrPending
from namer.binding import Namers, bind, shares
from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState
from namer.namer import Pending, Provenance
from namer.nametree import Leaf
from namer.path import Path
from namer.watch import WatchKey
from nodeagent.explain import explain
from nodeagent.naming.naming import Naming


def naming(namers: str) -> Naming:
    config = conf.load(f"namers: {namers}\nrouters: [{{protocol: http, servers: [{{port: 0}}]}}]", "test")
    return Naming(config.namers, random.Random(1), config.dns)


def namers_of(made: Naming, keys: str = "") -> Namers:
    """The namers as a router with these keys sees them."""
    (router,) = conf.load(f"routers: [{{protocol: http, servers: [{{port: 0}}], {keys}}}]", "test").routers
    return made.namers_of(router)


async def test_a_file_is_found_under_the_prefix_of_its_namer(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web").write_text("127.0.0.1 8080\n")
    made = naming(f"[{{kind: fs, rootDir: {tmp_path}}}]")
    dtab = Dtab.parse("/svc => /#/fs")

    async with trio.open_nursery() as nursery:
        await nursery.start(made.run)
        outcome = bind(Path.parse("/svc/web/x"), dtab, namers_of(made))
        assert isinstance(outcome.state, Pending)
        for cell in outcome.cells:
            cell.subscribe(_ignore)
            await cell.wait_changed(0)
        state = bind(Path.parse("/svc/web/x"), dtab, namers_of(made)).state
        assert isinstance(state, Leaf)
        (share,) = shares(state)
        share.bound.addr.subscribe(_ignore)
        with trio.fail_after(5):
            while not isinstance(share.bound.addr.value, AddrBound):
                await share.bound.addr.wait_changed(share.bound.addr.version)
        nursery.cancel_scope.cancel()

    assert (share.bound.id.show(), share.bound.residual.show()) == ("/#/fs/web", "/x")
    assert [endpoint.show() for endpoint in share.bound.addr.value.endpoints] == ["127.0.0.1:8080"]


async def test_a_rewriting_namer_is_asked_with_the_others() -> None:
    made = naming('[{kind: io.l5d.rewrite, prefix: /x, pattern: "/{a}/b", name: "/y/{a}"}]')

    outcome = bind(Path.parse("/#/x/1/b"), Dtab.parse("/y/1 => /$/inet/127.0.0.1/1"), namers_of(made))

    assert [share.bound.id.show() for share in shares(outcome.state)] == ["/$/inet/127.0.0.1/1"]  # type: ignore[arg-type]
    assert made.sources == ("/#/x",)


async def test_a_root_directory_that_is_missing_is_told_at_the_start(tmp_path: pathlib.Path) -> None:
    made = naming(f"[{{kind: fs, rootDir: {tmp_path}}}, {{kind: io.l5d.fs, rootDir: {tmp_path}/disco}}]")

    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            await nursery.start(made.run)
            with trio.fail_after(5):
                while not logs:
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

    assert [(log["log_level"], log["namer"], log["root_dir"]) for log in logs] == [
        ("warning", "/#/io.l5d.fs", f"{tmp_path}/disco")
    ]


async def test_transformers_of_a_namer_and_of_a_router(tmp_path: pathlib.Path) -> None:
    config = conf.load(
        """
namers:
- {kind: io.l5d.rewrite, prefix: /x, pattern: "/{a}", name: "/$/inet/h/{a}", transformers: [{kind: localhost}]}
routers:
- {protocol: http, servers: [{port: 0}]}
- protocol: http
  label: in
  interpreter:
    transformers: [{kind: specificHost, host: 10.0.0.1}, {kind: port, port: 4141}, {kind: localhost, prefix: /l}]
  servers: [{port: 0}]
- protocol: http
  label: one
  interpreter: {transformers: [{kind: const, path: /$/inet/127.0.0.1/80}]}
  servers: [{port: 0}]
- protocol: http
  label: other
  interpreter: {transformers: [{kind: replace, path: /$/inet/127.0.0.1/81}]}
  servers: [{port: 0}]
""",
        "test",
    )
    made = Naming(config.namers, random.Random(1), config.dns)

    def ids(router: AnyRouter) -> list[str]:
        state = bind(Path.parse("/#/x/80"), Dtab.EMPTY, made.namers_of(router)).state
        return [share.bound.id.show() for share in shares(state)]  # type: ignore[arg-type]

    assert [ids(router) for router in config.routers] == [
        ["/$/inet/h/80"],
        ["/%/l/%/io.l5d.port/4141/%/io.l5d.specificHost/$/inet/h/80"],
        ["/%/io.l5d.const/$/inet/127.0.0.1/80"],
        ["/%/io.l5d.replace/$/inet/127.0.0.1/81"],
    ]


def _ignore() -> None: ...


async def test_a_namer_holds_its_answers_to_its_bound(
    tmp_path: pathlib.Path, autojump_clock: trio.testing.MockClock
) -> None:
    made = naming(f"[{{kind: fs, rootDir: {tmp_path}, maxStaleSecs: 30, whenStale: refuse}}]")

    async def feed(cell: Cell[Addr]) -> None:
        cell.set(AddrBound(()), trio.current_time())
        cell.fail("gone", trio.current_time())

    pending: Addr = AddrPending()
    cells = [made.watches.cell(WatchKey(source, "address", "/web"), pending, feed) for source in ("/#/fs", "other")]
    for cell in cells:
        cell.subscribe(_ignore)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.watches.run)
        with capture_logs():
            await trio.sleep(60)
        nursery.cancel_scope.cancel()

    assert [type(cell.value) for cell in cells] == [AddrFailed, AddrBound]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param("", Provenance.REQUEST, id="the host is asked for"),
        pytest.param("dstPrefix: /svc/127.0.0.1", Provenance.CONFIGURATION, id="the router puts it before each name"),
        pytest.param(
            "identifier: {kind: io.l5d.static, path: /127.0.0.1/80}",
            Provenance.CONFIGURATION,
            id="the router calls all requests so",
        ),
    ],
)
def test_a_router_knows_what_of_a_name_is_its_own_word(keys: str, expected: Provenance) -> None:
    namers = namers_of(naming("[]"), keys)

    state = bind(Path.parse("/svc/127.0.0.1/80"), Dtab.parse("/svc => /$/inet"), namers).state

    assert [share.bound.provenance for share in shares(state)] == [expected]  # type: ignore[arg-type]


async def test_two_namers_with_one_prefix_are_asked_from_the_last_and_not_mixed_up(tmp_path: pathlib.Path) -> None:
    for place, files in (("first", {"both": 81, "mine": 82}), ("last", {"both": 91})):
        (tmp_path / place).mkdir()
        for name, port in files.items():
            (tmp_path / place / name).write_text(f"127.0.0.1 {port}\n")
    made = naming(f"[{{kind: fs, rootDir: {tmp_path / 'first'}}}, {{kind: fs, rootDir: {tmp_path / 'last'}}}]")
    table: Cell[DtabState] = Cell(Dtab.parse("/svc => /#/fs"))
    found = {}
    async with trio.open_nursery() as nursery:
        await nursery.start(made.run)
        for name in ("both", "mine"):
            explained = await explain(namers_of(made), table, Path.parse(f"/svc/{name}"), timeout=5.0)
            (bound,) = explained.bound
            found[bound.id.show()] = [endpoint.port for endpoint in bound.endpoints()]
        (tmp_path / "last/both").unlink()
        moved: list[int] = []
        with trio.fail_after(5):
            while moved != [81]:
                await trio.sleep(0.05)
                explained = await explain(namers_of(made), table, Path.parse("/svc/both"), timeout=5.0)
                moved = [endpoint.port for bound in explained.bound for endpoint in bound.endpoints()]
        nursery.cancel_scope.cancel()

    assert found == {"/#/fs/both": [91], "/#/fs/mine": [82]}
    assert made.sources == ("/#/fs", "/#/fs (2)")


@pytest.mark.parametrize(
    ("constant", "says"),
    [
        ("balancer.accrual.OVERDUE", "from being made after {:g} s"),
        ("nodeagent.proxy.balance.TRIAL", "within `requestAttemptTimeoutMs`, or {:g} s where there is none"),
        ("nodeagent.proxy.service.HOLD_BACK", "only when no other came for {:g} s"),
        ("namer.fs.RETRY", "read again after {:g} s when it could not be read"),
        ("namer.endpointfile.MAX_ENDPOINTS", "more than {:,} endpoints"),
        ("namer.dns.resolver.MAX_WAIT", "one question to all servers ends after {:g} s"),
        ("namer.dns.resolver.MAX_AT_ONCE", "At most {} are under way for names that have addresses"),
        ("namer.dns.reading.TTL_WITHOUT_SOA", "for names of their own) for {} s"),
        ("namer.dns.answers.MAX_RECORDS", "more than {} records"),
        ("namer.consul.api.MAX_DELAY", "then ever later, at most {:g} s"),
        ("namer.consul.api.HELD_TIMEOUT", "is noticed after {:.0f} s"),
        ("namer.consul.api.MAX_PLAIN", "if more than {} new names are asked for"),
        ("namer.consul.guard.HOLD", "after {:g} s of the same it is believed"),
        ("namer.consul.service.RECHECK", "asked every {:g} s, and after"),
        ("namer.k8s.reflector.SILENCE", "a watch that is silent for {:g} s"),
        ("namer.k8s.api.ANSWER_SECONDS", "an error after {:g} s; a name that was never known"),
        ("nodeagent.cli.dtab.SECONDS", "A store has {:g} s to answer"),
        ("nodeagent.routes.SHARE_TOLERANCE", "to within {}"),
    ],
)
def test_the_page_on_naming_has_the_numbers_of_the_code(constant: str, says: str) -> None:
    page = " ".join((pathlib.Path(__file__).parents[3] / "docs/naming.md").read_text(encoding="utf-8").split())

    assert says.format(pkgutil.resolve_name(constant)) in page
