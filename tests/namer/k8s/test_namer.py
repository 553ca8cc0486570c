"""The Kubernetes namer on an API server of the tests: real sockets, virtual time."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from namer.addr import Addr, AddrBound, AddrNeg
from namer.cell import Cell
from namer.namer import Bound, Failure, Provenance
from namer.nametree import NEG, Leaf
from namer.path import Path
from tests.namer.contract_namer import NamerContract, Source
from tests.namer.fakes import Live
from tests.namer.k8s.apiserver import ApiServer
from tests.namer.k8s.world import PREFIX, Cluster, Name, cluster, patient, pod, put_service, put_slice


class KubernetesSource(Source):
    """A service with one slice."""

    def __init__(self, live: Live, server: ApiServer) -> None:
        self._server = server
        self.namer = Cluster(live, server).namer()
        self.name = Path.parse("/shop/http/users")
        self.id = PREFIX + self.name

    def serve(self, *hosts: str) -> None:
        self._server.refuse = None
        put_slice(self._server, *hosts)

    def break_(self) -> None:
        self._server.refuse = 500
        self._server.cut()

    def remove(self) -> None:
        self._server.delete("endpointslices", "shop", "users-1")


class TestKubernetesKeepsTheContract(NamerContract):
    provenance = Provenance.REGISTRY

    def source(self, live: Live) -> Source:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        patient(clock)
        server = ApiServer()
        server.listen()
        trio.lowlevel.spawn_system_task(server.run)
        return KubernetesSource(live, server)


def bound(id_: str, residual: str = "/") -> Leaf[Bound]:
    addr: Cell[Addr] = Cell.constant(AddrBound(()))
    return Leaf(Bound(PREFIX + Path.parse(id_), Path.parse(residual), addr, provenance=Provenance.REGISTRY))


@pytest.mark.parametrize(
    ("name", "state"),
    [
        pytest.param("/shop/http/users", bound("/shop/http/users"), id="a service"),
        pytest.param("/shop/http/users/a/b", bound("/shop/http/users", "/a/b"), id="a residual"),
        pytest.param("/Shop/HTTP/Users/A", bound("/shop/http/users", "/A"), id="letters of either case"),
        pytest.param("/shop/80/users", bound("/shop/80/users"), id="a port by number"),
        pytest.param("/shop/81/users", NEG, id="a number that no port has"),
        pytest.param("/shop/0/users", NEG, id="no port number"),
        pytest.param("/shop/99999/users", NEG, id="beyond all port numbers"),
        pytest.param("/shop/grpc/users", NEG, id="no such port"),
        pytest.param("/shop/http/nobody", NEG, id="no such service"),
        pytest.param("/none/http/users", NEG, id="no such namespace"),
        pytest.param("/shop/http/empty", NEG, id="a service without endpoints"),
        pytest.param("/shop/http", NEG, id="no service"),
        pytest.param("/", NEG, id="nothing"),
        pytest.param(r"/shop/http/users\x2cx\x3dy", NEG, id="a selector inside a name"),
        pytest.param(r"/..\x2f..\x2f/http/users", NEG, id="a path inside a name"),
        pytest.param(r"/shop/http/users\x3fwatch", NEG, id="a query inside a name"),
    ],
)
async def test_names(autojump_clock: MockClock, name: str, state: object) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, "10.0.0.1")
        put_service(world.server, http=80)
        put_slice(world.server, name="empty-1", service="empty")
        found = Name(world.namer(), name)
        await trio.sleep(1)

        assert found.state == state


async def test_a_namer_of_one_namespace(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, "10.0.0.1")
        found = Name(world.namer(namespace="shop"), "/http/users/a")
        await trio.sleep(1)

        assert found.state == bound("/http/users", "/a")
        assert found.shown() == ["10.0.0.1:80"]


async def test_a_label_selects_among_the_slices(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, "10.0.0.1", name="users-a", version="v1")
        put_slice(world.server, "10.0.0.2", name="users-b", version="V2")
        namer = world.namer(label="version")
        first, second, none = (Name(namer, f"/shop/http/users/{value}") for value in ("v1", "V2/x", "v3"))
        missing = Name(namer, "/shop/http/users")
        await trio.sleep(1)

        assert first.shown() == ["10.0.0.1:80"]
        assert second.shown() == ["10.0.0.2:80"]
        assert second.state == bound("/shop/http/users/V2", "/x")
        assert (none.state, missing.state) == (NEG, NEG)


async def test_the_number_of_a_port_is_that_of_the_service(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, "10.0.0.1", port=("http", 8080))
        put_service(world.server, http=80)
        found = Name(world.namer(), "/shop/80/users")
        await trio.sleep(1)
        assert found.shown() == ["10.0.0.1:8080"]

        put_slice(world.server, "10.0.0.2", port=("http", 9090))
        await trio.sleep(1)
        assert found.shown() == ["10.0.0.2:9090"]

        put_service(world.server, http=81)
        await trio.sleep(1)
        assert found.state == NEG


async def test_a_subset_of_a_service(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, pod("10.0.0.1", zone="a"), pod("10.0.0.2", zone="b"))
        namer = world.namer()
        in_b = Name(namer, r"/shop/http/users\x3bzone\x3db")
        in_c = Name(namer, r"/shop/http/users\x3bzone\x3dc")
        none = Name(namer, r"/shop/http/nobody\x3bzone\x3dc")
        await trio.sleep(1)

        assert in_b.shown() == ["10.0.0.2:80"]
        assert in_c.addr is not None
        assert in_c.addr.value == AddrBound(())
        assert in_c.addr.error == "no instance of users has zone=c; 2 others have not"
        assert none.state == NEG
        assert world.server.watches == 2


async def test_one_watch_serves_all_names_of_a_service(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, "10.0.0.1")
        namer = world.namer()
        names = [Name(namer, f"/shop/http/users/{number}") for number in range(20)]
        names.append(Name(namer, "/shop/grpc/users"))
        await trio.sleep(1)
        assert world.server.watches == 1
        assert len(world.server.asked) == 2

        for each in names:
            each.close()
        await trio.sleep(100)
        assert world.server.watches == 0


async def test_the_watch_ends_a_minute_after_nobody_needs_the_service(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, "10.0.0.1")
        found = Name(world.namer(), "/shop/http/users")
        await trio.sleep(1)
        found.close()
        await trio.sleep(29)
        assert world.server.watches == 1
        await trio.sleep(35)

        assert world.server.watches == 0


async def test_what_is_known_survives_the_api_server_and_says_so(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, "10.0.0.1")
        put_service(world.server, http=80)
        named, numbered = Name(world.namer(), "/shop/http/users"), Name(world.namer(), "/shop/80/users")
        await trio.sleep(1)
        world.server.refuse = 503
        world.server.cut()
        await trio.sleep(120)

        for name in (named, numbered):
            assert name.addr is not None
            assert name.shown() == ["10.0.0.1:80"]
            for cell in (name.cell, name.addr):
                assert "503" in (cell.error or "")
                assert cell.retry_at is not None
                assert cell.stale_since is not None

        put_slice(world.server, "10.0.0.2")
        world.server.refuse = None
        await trio.sleep(6)
        for name in (named, numbered):
            assert name.shown() == ["10.0.0.2:80"]
            assert name.cell.error is None
            assert name.addr is not None
            assert name.addr.stale_since is None


async def test_an_api_server_that_cannot_be_asked_is_a_failure_soon(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        world.server.hang = True
        found = Name(world.namer(), "/shop/http/users")
        await trio.sleep(7)

        assert isinstance(found.state, Failure)
        assert "no answer within 5 s" in found.state.reason


async def test_a_right_that_is_missing_is_named(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, "10.0.0.1")
        world.server.forbidden = {"services"}
        named, numbered = Name(world.namer(), "/shop/http/users"), Name(world.namer(), "/shop/80/users")
        await trio.sleep(2)

        assert named.shown() == ["10.0.0.1:80"]
        assert isinstance(numbered.state, Failure)
        assert "allow the account to list and watch services in the namespace shop" in numbered.state.reason


async def test_a_service_that_loses_its_last_endpoint_is_passed_over(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, "10.0.0.1")
        found = Name(world.namer(), "/shop/http/users")
        await trio.sleep(1)
        put_slice(world.server)
        await trio.sleep(1)
        assert found.state == NEG
        assert found.addr is not None
        states = [found.addr.value]

        world.server.delete("endpointslices", "shop", "users-1")
        await trio.sleep(1)
        assert found.state == NEG
        assert [*states, found.addr.value] == [AddrBound(()), AddrNeg()]


async def test_an_event_of_another_service_changes_nothing(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, "10.0.0.1", port=("http", 8080))
        put_service(world.server, http=80)
        found = Name(world.namer(), "/shop/80/users")
        await trio.sleep(1)
        another = (
            '{"metadata": {"name": "another", "resourceVersion": "99"}, "spec": {"ports": [{"name": "x", "port": 80}]}}'
        )
        world.server.say(f'{{"type": "ADDED", "object": {another}}}\n'.encode())
        await trio.sleep(1)

        assert found.shown() == ["10.0.0.1:8080"]
