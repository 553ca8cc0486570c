"""Transformers of addresses: which endpoints are left, and that they follow the name's own."""

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.cell import Cell
from namer.namer import Bound
from namer.nametree import EMPTY, FAIL, NEG, Leaf
from namer.path import Path
from namer.transform.addresses import AddressTransformer, localhost, port, specific_host
from tests.namer.fakes import FakeResolver, running

KIND = Path.parse("/io.l5d.port/4141")
WEB = Path.parse("/#/io.l5d.fs/web")


def endpoints(*authorities: str) -> AddrBound:
    return AddrBound(tuple(Endpoint(host, int(port)) for host, port in (each.rsplit(":", 1) for each in authorities)))


def agent(host: str) -> Endpoint:
    """The agent of a host, in the place of an endpoint."""
    return Endpoint(host, 4141, agent=(host, 4141))


def put(transformer: AddressTransformer, addr: Addr | Cell[Addr], id_: Path = WEB) -> Bound:
    """A name with these addresses, transformed."""
    cell = addr if isinstance(addr, Cell) else Cell.constant(addr)
    tree = transformer.bound(Bound(id_, Path(("x",)), cell, authority="web.example"))
    assert isinstance(tree, Leaf)
    return tree.value


def test_the_id_tells_of_the_transformer_and_the_rest_stays() -> None:
    bound = put(port(KIND, 4141), endpoints())

    assert bound.id.show() == "/%/io.l5d.port/4141/#/io.l5d.fs/web"
    assert (bound.residual, bound.authority) == (Path(("x",)), "web.example")


def test_port_moves_each_host_to_the_port_once() -> None:
    bound = put(port(KIND, 4141), endpoints("10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:81"))

    assert bound.addr.value == AddrBound(tuple(map(agent, ("10.0.0.1", "10.0.0.2"))))


def test_port_keeps_what_else_is_known_of_an_endpoint() -> None:
    known = Endpoint("10.0.0.1", 80, 0.5, (("zone", "a"),), 1)

    assert put(port(KIND, 4141), AddrBound((known,))).addr.value == AddrBound(
        (Endpoint("10.0.0.1", 4141, 0.5, (("zone", "a"),), 1, ("10.0.0.1", 4141)),)
    )


def test_port_may_keep_the_endpoints_and_note_the_agent() -> None:
    transformer = port(KIND, 4141, keep_endpoints=True)
    known, socket = Endpoint("10.0.0.1", 80, 0.5, (("zone", "a"),), 1), Endpoint("/run/app.sock", 0)

    assert put(transformer, AddrBound((known, socket))).addr.value == AddrBound(
        (replace(known, agent=("10.0.0.1", 4141)), socket)
    )


@pytest.mark.parametrize("addr", [AddrPending(), AddrNeg(), AddrFailed("down"), AddrBound(())])
def test_an_address_without_endpoints_stays(addr: Addr) -> None:
    for transformer in (port(KIND, 4141), localhost(KIND)):
        assert put(transformer, addr).addr.value == addr


@pytest.mark.parametrize("tree", [NEG, EMPTY, FAIL])
def test_what_is_not_bound_stays(tree: object) -> None:
    assert localhost(KIND).unbound(tree) == tree  # type: ignore[arg-type]


def test_a_fixed_status_stays() -> None:
    status = Path.parse("/$/io.buoyant.http.status/418")

    assert put(port(KIND, 4141), AddrBound(()), status).id == status


def test_localhost_leaves_what_is_on_this_host() -> None:
    bound = put(localhost(KIND), endpoints("127.0.0.1:80", "192.0.2.1:80", "127.9.9.9:80"))

    assert bound.addr.value == endpoints("127.0.0.1:80", "127.9.9.9:80")


def test_the_endpoints_are_followed() -> None:
    source: Cell[Addr] = Cell(AddrPending())
    addr = put(localhost(KIND), source).addr
    seen = [addr.value]
    addr.subscribe(lambda: seen.append(addr.value))

    source.set(endpoints("127.0.0.1:80", "192.0.2.1:80"), 1.0)
    source.set(endpoints("192.0.2.1:80"), 2.0)

    assert seen == [AddrPending(), endpoints("127.0.0.1:80"), AddrBound(())]


async def test_a_specific_host_is_resolved_and_followed(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(rack=("10.0.0.1",))) as live:
        addr = put(specific_host(KIND, "rack", live.hosts), endpoints("10.0.0.1:80", "10.0.0.2:80")).addr
        seen = [addr.value]
        addr.subscribe(lambda: seen.append(addr.value))
        await trio.sleep(1)
        live.resolver.known["rack"] = ("10.0.0.2",)
        await trio.sleep(60)

        assert seen == [AddrPending(), endpoints("10.0.0.1:80"), endpoints("10.0.0.2:80")]


async def test_an_unknown_specific_host_leaves_nothing(autojump_clock: MockClock) -> None:
    async with running() as live:
        addr = put(specific_host(KIND, "rack", live.hosts), endpoints("10.0.0.1:80")).addr
        addr.subscribe(lambda: None)
        await trio.sleep(1)
        assert addr.value == AddrBound(())


async def test_a_specific_host_that_cannot_be_resolved_says_why(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(rack=OSError("down"))) as live:
        addr = put(specific_host(KIND, "rack", live.hosts), endpoints("10.0.0.1:80")).addr
        addr.subscribe(lambda: None)
        await trio.sleep(1)
        assert isinstance(addr.value, AddrFailed)
        assert addr.error is not None
        assert "rack" in addr.error


async def test_a_specific_host_may_be_an_address() -> None:
    async with running() as live:
        addr = put(specific_host(KIND, "10.0.0.2", live.hosts), endpoints("10.0.0.1:80", "10.0.0.2:80")).addr

        assert addr.value == endpoints("10.0.0.2:80")
