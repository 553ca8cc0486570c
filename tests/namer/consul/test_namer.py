"""Names of Consul's catalogue: the contract of all namers, and what is Consul's own."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from namer.addr import AddrBound
from namer.consul.catalog import Rules
from namer.consul.guard import HOLD
from namer.consul.namer import Asked, ConsulNamer, ConsulParams
from namer.httpapi import Reply
from namer.namer import Bound, Failure, Namer, Provenance
from namer.nametree import NEG, Leaf
from namer.path import Path
from namer.subset import Subset
from tests.namer.consul.fake import FakeConsul, hangs, has_no_leader, instance, raw, refuses, reply
from tests.namer.contract_namer import Client, NamerContract
from tests.namer.contract_namer import Source as ContractSource
from tests.namer.fakes import Live, running

PREFIX = Path.parse("/#/io.l5d.consul")


class Source:
    """The service `web` of a Consul in memory."""

    name = Path.parse("/dc1/web")
    id = PREFIX + name

    def __init__(self, live: Live, params: ConsulParams = ConsulParams()) -> None:  # noqa: B008
        self.fake = FakeConsul()
        self.namer: Namer = ConsulNamer(PREFIX, self.fake.consul(), params, live.watches, live.hosts)

    def serve(self, *hosts: str) -> None:
        self.fake.serve("web", *map(instance, hosts))

    def break_(self) -> None:
        self.fake.goes_wrong(refuses)

    def remove(self) -> None:
        self.serve()

    def client(self, path: str = "/dc1/web") -> Client:
        self.name = Path.parse(path)
        return Client(self)


class TestContract(NamerContract):
    provenance = Provenance.REGISTRY

    def source(self, live: Live) -> ContractSource:
        return Source(live)


@pytest.mark.parametrize(
    ("path", "include_tag", "asked"),
    [
        pytest.param("/DC1/Web/r", False, ("dc1", None, "web", None, "/DC1/Web", "/r"), id="in any case"),
        pytest.param("/.local/web", False, (".local", None, "web", None, "/.local/web", "/"), id="the own datacenter"),
        pytest.param("/dc1/V2/web/r/s", True, ("dc1", "v2", "web", None, "/dc1/V2/web", "/r/s"), id="with a tag"),
        pytest.param(
            "/dc1/\\x77\\x3b\\x76", False, ("dc1", None, "w", "v", "/dc1/\\x77\\x3b\\x76", "/"), id="a subset"
        ),
        pytest.param("/dc1", False, None, id="no service"),
        pytest.param("/dc1/web", True, None, id="no tag"),
        pytest.param("/dc1/..", False, None, id="no name of a service"),
        pytest.param("/dc\\xff/web", False, None, id="no text"),
        pytest.param("/dc1/\\x77\\x0d\\x0a", False, None, id="control characters"),
        pytest.param("/dc1/\\x3b\\x76", False, None, id="a subset of nothing"),
        pytest.param("/dc1/" + "w" * 256, False, None, id="too long"),
    ],
)
def test_names(path: str, include_tag: bool, asked: tuple[Any, ...] | None) -> None:
    found = Asked.parse(Path.parse(path), include_tag)
    if asked is None:
        assert found is None
        return
    datacenter, tag, service, subset, written, residual = asked
    wanted = Subset((subset,)) if subset else None
    assert found == Asked(datacenter, tag, service, wanted, Path.parse(written), Path.parse(residual))


async def test_names_of_one_service_share_one_question(autojump_clock: MockClock) -> None:
    async with running() as live:
        source = Source(live)
        source.serve("10.0.0.1")
        clients = [source.client(path) for path in ("/dc1/web", "/dc1/web/a", "/DC1/Web", "/dc1/web/b/c")]
        await trio.sleep(10)

        assert [client.hosts() for client in clients] == [("10.0.0.1",)] * 4
        assert len(source.fake.asked) == 2
        for client in clients:
            client.close()
        await trio.sleep(100)
        assert source.fake.sessions_open == 0


async def test_the_question_ends_a_minute_after_nobody_needs_the_service(autojump_clock: MockClock) -> None:
    async with running() as live:
        source = Source(live)
        source.serve("10.0.0.1")
        client = source.client()
        await trio.sleep(1)
        client.close()
        await trio.sleep(29)
        assert source.fake.sessions_open == 1
        await trio.sleep(35)

        assert source.fake.sessions_open == 0


@pytest.mark.parametrize("path", ["/dc1/web", "/.local/web"])
async def test_the_datacenter_is_asked_for_unless_it_is_the_own(path: str, autojump_clock: MockClock) -> None:
    async with running() as live:
        source = Source(live)
        source.serve("10.0.0.1")
        source.client(path)
        await trio.sleep(1)

        assert source.fake.asked[0].query == ({} if "local" in path else {"dc": "dc1"})


async def test_who_has_an_agent_is_told_and_followed(autojump_clock: MockClock) -> None:
    def agents() -> list[tuple[str, int] | None]:
        assert client.addr is not None
        assert isinstance(client.addr.value, AddrBound)
        return [each.agent for each in client.addr.value.endpoints]

    async with running() as live:
        source = Source(live)
        by_tag, by_pair = instance("10.0.0.1", tags=["agent=4141"]), instance("10.0.0.2", meta={"agent": "4242"})
        source.fake.serve("web", by_tag, by_pair, instance("10.0.0.3"))
        client = source.client()
        await trio.sleep(1)
        assert agents() == [("10.0.0.1", 4141), ("10.0.0.2", 4242), None]

        source.fake.serve("web", instance("10.0.0.1"), by_pair, instance("10.0.0.3"))
        await trio.sleep(1)
        assert agents() == [None, ("10.0.0.2", 4242), None]
        client.close()


async def test_a_tag_selects_and_a_tag_that_nobody_has_is_no_name(autojump_clock: MockClock) -> None:
    async with running() as live:
        source = Source(live, ConsulParams(include_tag=True))
        source.fake.serve("web", instance("10.0.0.1", tags=["V2"]), instance("10.0.0.2", tags=["v1"]))
        v2, v3 = source.client("/dc1/v2/web"), source.client("/dc1/v3/web")
        await trio.sleep(1)

        assert (v2.hosts(), v3.name.value) == (("10.0.0.1",), NEG)


async def test_a_subset_that_nobody_is_in_says_so(autojump_clock: MockClock) -> None:
    async with running() as live:
        source = Source(live)
        source.fake.serve("web", instance("10.0.0.1", tags=["v2"]), instance("10.0.0.2", meta={"zone": "b"}))
        v2 = source.client(r"/dc1/\x77\x65\x62\x3b\x76\x3d\x32")
        zone_a = source.client(r"/dc1/\x77\x65\x62\x3b\x7a\x6f\x6e\x65\x3d\x61")
        await trio.sleep(1)

        assert v2.hosts() == ("10.0.0.1",)
        assert zone_a.addr is not None
        assert zone_a.addr.value == AddrBound(())
        assert zone_a.error() == "no instance of web has zone=a; 2 others have not"

        source.fake.serve("web", instance("10.0.0.2", meta={"zone": "a"}))
        await trio.sleep(1)
        assert (zone_a.hosts(), zone_a.error()) == (("10.0.0.2",), None)


@pytest.mark.parametrize("statuses", [Rules().statuses, frozenset({"passing"})])
async def test_a_service_that_nobody_may_serve_is_a_name_without_endpoints(
    statuses: frozenset[str], autojump_clock: MockClock
) -> None:
    async with running() as live:
        source = Source(live, ConsulParams(rules=Rules(statuses)))
        source.fake.serve("web", instance("10.0.0.1", status="critical"), instance("10.0.0.2", port=0))
        client, nobody = source.client(), source.client("/dc1/nobody")
        await trio.sleep(1)

        assert nobody.name.value == NEG
        assert client.addr is not None
        assert client.addr.value == AddrBound(())
        assert client.addr.stale_since is None
        assert client.error() == "none of the 2 instances of web may serve: 1 critical, 1 without a usable port"

        source.serve("10.0.0.1")
        await trio.sleep(1)
        assert (client.hosts(), client.error()) == (("10.0.0.1",), None)
        source.fake.serve("web", instance("10.0.0.1", status="critical"))
        await trio.sleep(1)
        assert (client.hosts(), client.error()) == ((), "the only instance of web may not serve: 1 critical")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/dc1/v2/web", "the only instance of web with the tag v2 may not serve: 1 critical"),
        (
            r"/dc1/v2/\x77\x65\x62\x3b\x7a\x3d\x61",
            "the only instance of web with the tag v2 and z=a may not serve: 1 critical",
        ),
        (r"/dc1/v1/\x77\x65\x62\x3b\x7a\x3d\x61", "no instance of web has z=a; 1 other has not"),
        ("/dc1/v3/web", None),
    ],
)
async def test_a_tag_and_a_subset_that_nobody_may_serve(path: str, says: str | None, autojump_clock: MockClock) -> None:
    async with running() as live:
        source = Source(live, ConsulParams(include_tag=True))
        failing = instance("10.0.0.2", status="critical", tags=["V2"], meta={"z": "a"})
        source.fake.serve("web", instance("10.0.0.1", tags=["v1"]), failing)
        client = source.client(path)
        await trio.sleep(1)

        assert client.error() == says
        assert (client.name.value == NEG) is (says is None)


async def test_a_registered_host_name_is_resolved(autojump_clock: MockClock) -> None:
    async with running() as live:
        live.resolver.known["a.example"] = ("10.0.0.7",)
        source = Source(live)
        source.serve("a.example", "b.example")
        client = source.client()
        await trio.sleep(6)

        assert client.hosts() == ("10.0.0.7",)
        assert client.error() == "unknown host b.example"


@pytest.mark.parametrize(
    ("include_tag", "path", "authority"),
    [
        (False, "/dc2/web", "web.service.dc2.consul"),
        (False, "/.local/Web", "web.service.dc1.consul"),
        (True, "/.local/v2/web", "v2.web.service.dc1.consul"),
        (False, r"/dc2/w\x20x", None),
    ],
)
async def test_set_host(include_tag: bool, path: str, authority: str | None, autojump_clock: MockClock) -> None:
    async with running() as live:
        source = Source(live, ConsulParams(include_tag, set_host=True))
        source.serve("10.0.0.1")
        source.fake.services.update({"w%20x": source.fake.services["web"]})
        source.fake.services["web"][0]["Service"]["Tags"] = ["v2"]
        client = source.client(path)
        await trio.sleep(1)

        state = client.name.value
        assert isinstance(state, Leaf)
        assert isinstance(state.value, Bound)
        assert state.value.authority == authority


async def test_set_host_waits_for_the_agent_and_says_when_it_does_not_answer(autojump_clock: MockClock) -> None:
    async with running() as live:
        source = Source(live, ConsulParams(set_host=True))
        source.serve("10.0.0.1")
        source.fake.goes_wrong(refuses)
        client = source.client()
        await trio.sleep(1)
        assert isinstance(client.name.value, Failure)

        source.serve("10.0.0.1")
        await trio.sleep(6)
        assert client.hosts() == ("10.0.0.1",)


HOSTILE = [
    pytest.param(refuses, id="refused"),
    pytest.param(has_no_leader, id="500, no leader"),
    pytest.param(hangs, id="hangs"),
    pytest.param(lambda: raw(b"<html>welcome</html>", index=9), id="HTML with status 200"),
    pytest.param(lambda: raw(b"", index=9), id="nothing with status 200"),
    pytest.param(lambda: raw(b'[{"Node":{"Node":"n', index=9), id="cut"),
    pytest.param(lambda: reply([{"Node": None, "Service": {}}], index=9), id="another form"),
    pytest.param(lambda: reply([{"Node": {}, "Service": {"Port": "http"}}], index=9), id="a port that is none"),
]


@pytest.mark.parametrize("trouble", HOSTILE)
async def test_nothing_that_goes_wrong_takes_endpoints_away(
    trouble: Callable[[], Reply | None], autojump_clock: MockClock
) -> None:
    async with running() as live:
        source = Source(live)
        source.serve("10.0.0.1", "10.0.0.2")
        client = source.client()
        await trio.sleep(1)
        source.fake.goes_wrong(trouble)
        await trio.sleep(600)

        assert client.changes == [(), ("10.0.0.1", "10.0.0.2")]
        assert client.error()
        assert client.name.error
        assert client.addr is not None
        assert client.addr.stale_since is not None

        source.serve("10.0.0.2")
        await trio.sleep(16)
        assert (client.hosts(), client.error()) == (("10.0.0.2",), None)


@pytest.mark.parametrize("trouble", HOSTILE)
async def test_from_the_start_it_is_a_failure_within_three_seconds(
    trouble: Callable[[], Reply | None], autojump_clock: MockClock
) -> None:
    async with running() as live:
        source = Source(live)
        source.fake.goes_wrong(trouble)
        client = source.client()
        await trio.sleep(3)

        assert isinstance(client.name.value, Failure)
        assert client.name.error


async def test_mass_removal_is_believed_only_when_it_stays(autojump_clock: MockClock) -> None:
    async with running() as live:
        source = Source(live)
        source.serve("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
        client = source.client()
        await trio.sleep(1)
        failures = client.name.failures
        source.serve()
        await trio.sleep(HOLD - 1)

        assert len(client.hosts()) == 4
        assert str(client.error()).startswith("Consul names only 0 instances of late, and named 4 before")
        assert client.name.failures > failures
        await trio.sleep(4)
        assert (client.name.value, client.hosts(), client.name.error) == (NEG, (), None)


async def test_mass_removal_that_was_a_hiccup_is_never_seen(autojump_clock: MockClock) -> None:
    async with running() as live:
        source = Source(live)
        six = [f"10.0.0.{number}" for number in range(1, 7)]
        source.serve(*six)
        client = source.client()
        await trio.sleep(1)
        source.serve("10.0.0.9")
        await trio.sleep(5)
        assert set(client.hosts()) == {*six, "10.0.0.9"}
        source.serve(*six)
        await trio.sleep(5)

        assert (client.hosts(), client.error()) == (tuple(six), None)


async def test_a_consul_that_lost_its_data_is_not_believed_at_once(autojump_clock: MockClock) -> None:
    async with running() as live:
        source = Source(live)
        source.fake.index = 500
        source.serve("10.0.0.1")
        client = source.client()
        await trio.sleep(1)
        source.fake.index = 1
        source.serve()
        await trio.sleep(HOLD - 2)
        assert client.hosts() == ("10.0.0.1",)
        await trio.sleep(5)
        assert client.hosts() == ()


async def test_a_name_that_is_asked_for_in_an_outage_has_what_others_have(autojump_clock: MockClock) -> None:
    async with running() as live:
        source = Source(live)
        source.serve("10.0.0.1")
        source.client()
        await trio.sleep(1)
        source.break_()
        await trio.sleep(60)
        late = source.client("/dc1/web/more")
        await trio.sleep(1)

        assert late.hosts() == ("10.0.0.1",)
        assert late.name.stale_since is not None
        assert late.name.stale_since < 2


async def test_nothing_is_left_of_a_name_that_nobody_wants(autojump_clock: MockClock) -> None:
    async with running() as live:
        source = Source(live)
        source.serve("10.0.0.1")
        client = source.client()
        await trio.sleep(1)
        assert client.hosts() == ("10.0.0.1",)
        client.close()
        del client
        gc.disable()  # nothing that has to be found by it may remain
        try:
            await trio.sleep(120)
            assert live.watches.statistics() == ()
        finally:
            gc.enable()
