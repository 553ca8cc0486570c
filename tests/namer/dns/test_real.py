"""The resolver and the namers on it, with real DNS servers and real time."""

import pathlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from namer.addr import Addr, AddrBound, AddrNeg
from namer.cell import Cell
from namer.dns.answers import Answer, Found, Lifetimes, Nothing, Srv
from namer.dns.resolver import Resolver
from namer.dns.settings import Overrides, Server
from namer.dns.srv import DnsSrvNamer
from namer.hosts import Hosts
from namer.path import Path
from namer.watch import Watches
from tests.namer.dns.real import COMMANDS, needs, real_server, update
from tests.namer.dns.server import response, wire_server

pytestmark = pytest.mark.e2e

EACH_SERVER = pytest.mark.parametrize("kind", [pytest.param(kind, marks=needs(kind)) for kind in COMMANDS])


def resolver(server: Server) -> Resolver:
    return Resolver(Overrides(servers=(server,), search=(), timeout=0.5, attempts=1), Lifetimes())


@asynccontextmanager
async def hosts(resolver: Resolver) -> AsyncIterator[tuple[Hosts, Watches]]:
    watches = Watches(random.Random(7), idle=0.1)
    async with trio.open_nursery() as nursery:
        await nursery.start(watches.run)
        yield Hosts(watches, resolver, random.Random(7)), watches
        nursery.cancel_scope.cancel()


def ignore() -> None:
    """Somebody who only wants the value to be live."""


def addresses(addr: Addr) -> list[str]:
    return [endpoint.show() for endpoint in addr.endpoints] if isinstance(addr, AddrBound) else []


async def becomes(cell: Cell[Addr], *endpoints: str, within: float) -> float:
    """Seconds until the cell has these endpoints."""
    started = trio.current_time()
    with trio.fail_after(within):
        while addresses(cell.value) != list(endpoints):
            await cell.wait_changed(cell.version)
    return trio.current_time() - started


@EACH_SERVER
async def test_all_servers_are_understood_alike(kind: str, tmp_path: pathlib.Path) -> None:
    async with real_server(kind, tmp_path) as server:
        asked = resolver(server.where)

        def seconds(answer: Answer[str] | Answer[Srv]) -> float:
            return round(answer.expires - answer.at)

        web = await asked.addresses("web.example")
        assert isinstance(web, Found)
        assert (web.records, seconds(web)) == (("10.0.0.1",), 2)
        for name, records in {"both.example": ("10.0.0.2",), "six.example": ("fd00::3",)}.items():
            found = await asked.addresses(name)
            assert isinstance(found, Found)
            assert (found.records, seconds(found)) == (records, 60)
        for name, exists in {"empty.example": True, "gone.example": False}.items():
            nothing = await asked.addresses(name)
            assert isinstance(nothing, Nothing)
            assert nothing.exists is exists
            assert 3 <= seconds(nothing) <= 5
        users = await asked.services("_http._tcp.users.example")
        assert isinstance(users, Found)
        assert users.records == (
            Srv(10, 1, 8081, "both.example."),
            Srv(10, 3, 8080, "web.example."),
            Srv(20, 0, 8082, "six.example."),
        )
        many = await asked.services("_many._tcp.example")
        assert isinstance(many, Found)
        assert [record.port for record in many.records] == list(range(8001, 8061)), "truncated by UDP, whole by TCP"


@needs("named", "nsupdate")
async def test_a_change_is_seen_when_the_shortest_ttl_of_the_chain_is_over(tmp_path: pathlib.Path) -> None:
    records = ["web.example. 2 CNAME one.example.", "one.example. 86400 A 10.0.0.1", "two.example. 86400 A 10.0.0.2"]
    async with real_server("named", tmp_path, records) as server, hosts(resolver(server.where)) as (live, _):
        cell = live.addr("web.example", 80)
        cell.subscribe(ignore)
        await becomes(cell, "10.0.0.1:80", within=2)

        update(server, "update delete web.example. CNAME", "update add web.example. 2 CNAME two.example.")
        assert await becomes(cell, "10.0.0.2:80", within=3) <= 2.5
        assert cell.version == 2, "from one to the other, with nothing in between"


@needs("named", "nsupdate")
async def test_a_host_that_is_removed_and_comes_back(tmp_path: pathlib.Path) -> None:
    records = ["web.example. 1 A 10.0.0.1"]
    async with real_server("named", tmp_path, records) as server, hosts(resolver(server.where)) as (live, _):
        cell = live.addr("web.example", 80)
        cell.subscribe(ignore)
        await becomes(cell, "10.0.0.1:80", within=2)

        update(server, "update delete web.example. A")
        with trio.fail_after(4):
            while cell.value != AddrNeg():
                await cell.wait_changed(cell.version)
        update(server, "update add web.example. 1 A 10.0.0.1")
        await becomes(cell, "10.0.0.1:80", within=5)


@EACH_SERVER
async def test_a_server_that_is_killed_takes_nothing_along(kind: str, tmp_path: pathlib.Path) -> None:
    records = ["web.example. 1 A 10.0.0.1"]
    async with real_server(kind, tmp_path, records) as server, hosts(resolver(server.where)) as (live, _):
        cell = live.addr("web.example", 80)
        cell.subscribe(ignore)
        await becomes(cell, "10.0.0.1:80", within=2)

        server.kill()
        await trio.sleep(2)
        assert addresses(cell.value) == ["10.0.0.1:80"]
        assert cell.error == f"cannot resolve web.example: DNS server {server.where} connection refused"
        assert cell.stale_since is not None
        assert cell.retry_at is not None

        await server.start()
        with trio.fail_after(5):
            while cell.error:
                await trio.sleep(0.05)
        assert addresses(cell.value) == ["10.0.0.1:80"]
        assert cell.version == 1, "no request ever saw it gone"


@needs("dnsmasq")
async def test_srv_records_become_endpoints(tmp_path: pathlib.Path) -> None:
    async with real_server("dnsmasq", tmp_path) as server:
        asked = resolver(server.where)
        async with hosts(asked) as (live, watches):
            prefix = Path.parse("/#/io.l5d.dnssrv")
            namer = DnsSrvNamer(prefix, watches, asked, live, random.Random(7))
            name = namer.lookup(Path(("_http._tcp.users.example", "v1")))
            name.subscribe(ignore)
            with trio.fail_after(5):
                await name.wait_changed(0)
            shown = str(name.value)
            assert "_http._tcp.users.example" in shown
            bound = name.value.value  # type: ignore[union-attr]
            found = bound.addr.value  # type: ignore[union-attr]

    assert isinstance(found, AddrBound)
    assert [(each.show(), each.weight, each.priority) for each in found.endpoints] == [
        ("10.0.0.2:8081", 1.0, 0),
        ("10.0.0.1:8080", 3.0, 0),
        ("[fd00::3]:8082", 1.0, 1),
    ]


async def test_an_unknown_host_is_asked_for_once_in_its_negative_ttl() -> None:
    soa = "example. 2 IN SOA ns.example. root.example. 1 2 3 4 2"
    no = partial(response, code="NXDOMAIN", authority=[soa])
    async with wire_server(lambda query: [no(query)]) as server, hosts(resolver(server.where)) as (live, _):
        started, wanted = trio.current_time(), 0
        while trio.current_time() < started + 3:  # idle is 0.1 s, so the name is forgotten again and again
            cell = live.addr("made-up.example", 80 + wanted % 100)
            cell.subscribe(ignore)
            await trio.sleep(0.0005)
            cell.unsubscribe(ignore)
            del cell
            wanted += 1
            if wanted % 500 == 0:
                await trio.sleep(0.3)

        assert wanted > 1000
        assert len(server.asked) == 2
