import random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from namer.addr import AddrBound, Endpoint
from namer.dns.answers import Srv
from namer.dns.course import MAX_DELAY
from namer.dns.srv import DnsSrvNamer, targets_of
from namer.namer import PENDING, Bound, Failure, Provenance
from namer.nametree import NEG, Leaf
from namer.path import Path
from namer.targets import Target
from tests.namer.contract_namer import Client, NamerContract, Source
from tests.namer.fakes import FakeResolver, Live, running

PREFIX = Path.parse("/#/io.l5d.dnssrv")
USERS = "_http._tcp.users.example.org"


def srv(target: str = "a.", port: int = 80, priority: int = 0, weight: int = 1) -> Srv:
    return Srv(priority, weight, port, target)


def namer(live: Live) -> DnsSrvNamer:
    return DnsSrvNamer(PREFIX, live.watches, live.resolver, live.hosts, random.Random(7))


class DnsSrvSource(Source):
    """Records that a resolver knows, or not; each with a target of its own."""

    def __init__(self, live: Live) -> None:
        self._resolver = live.resolver
        self.namer = namer(live)
        self.name = Path((USERS,))
        self.id = PREFIX / USERS

    def serve(self, *hosts: str) -> None:
        self._resolver.known.update({f"{host.replace('.', '-')}.": (host,) for host in hosts})
        self._resolver.records[USERS] = tuple(srv(f"{host.replace('.', '-')}.") for host in hosts)

    def break_(self) -> None:
        self._resolver.records[USERS] = OSError("the resolver is down")

    def remove(self) -> None:
        del self._resolver.records[USERS]


def target(host: str, weight: float, priority: int = 0, port: int = 80) -> Target:
    return Target(host, port, weight, priority=priority, divided=True)


@pytest.mark.parametrize(
    ("records", "targets"),
    [
        pytest.param([srv("b.", weight=3), srv("a.")], [target("a.", 1), target("b.", 3)], id="weights"),
        pytest.param(
            [srv("a.", priority=20), srv("b.", priority=10), srv("c.", priority=20)],
            [target("b.", 1), target("a.", 1, priority=1), target("c.", 1, priority=1)],
            id="priorities become ranks",
        ),
        pytest.param(
            [srv("a.", weight=0), srv("b.", weight=0)], [target("a.", 1), target("b.", 1)], id="all of them 0"
        ),
        pytest.param(
            [srv("a.", weight=0), srv("b.", weight=0), srv("c.", weight=9)],
            [target("a.", 0.5), target("b.", 0.5), target("c.", 9)],
            id="those of 0 share the chance of 1",
        ),
        pytest.param(
            [srv("a.", weight=0), srv("b.", weight=9, priority=1)],
            [target("a.", 1), target("b.", 9, priority=1)],
            id="0 in a priority of its own",
        ),
        pytest.param([srv(".")], [], id="no such service"),
        pytest.param([srv("a.", port=0)], [], id="a port that is none"),
    ],
)
def test_what_records_say(records: list[Srv], targets: list[Target]) -> None:
    assert targets_of(records) == tuple(targets)


@pytest.mark.parametrize("name", ["/", "/a..b", r"/a\x20b/x", "/" + "a" * 64])
async def test_what_cannot_be_a_name_is_not_asked_for(name: str) -> None:
    async with running() as live:
        assert namer(live).lookup(Path.parse(name)).value == NEG
        assert live.watches.statistics() == ()


async def test_ports_weights_priorities_and_the_residual(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(**{"a.": ("10.0.0.1",), "b.": ("10.0.0.2", "10.0.0.3")})) as live:
        live.resolver.records[USERS] = (srv("a.", 8080, weight=1), srv("b.", 8081, weight=3), srv("a.", 9, 5, 0))
        service = namer(live)
        cell = service.lookup(Path((USERS, "v1", "x")))
        assert cell.value == PENDING

        cell.subscribe(lambda: None)
        await trio.sleep(1)
        assert isinstance(cell.value, Leaf)
        bound = cell.value.value
        assert isinstance(bound, Bound)
        assert (bound.id, bound.residual) == (PREFIX / USERS, Path.parse("/v1/x"))
        assert bound.addr.value == AddrBound(
            (
                Endpoint("10.0.0.1", 8080, 1),
                Endpoint("10.0.0.2", 8081, 1.5),
                Endpoint("10.0.0.3", 8081, 1.5),
                Endpoint("10.0.0.1", 9, 1, priority=1),
            )
        )


async def test_one_task_follows_a_name_however_it_is_used(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(**{"a.": ("10.0.0.1",)})) as live:
        live.resolver.records[USERS] = (srv(),)
        service = namer(live)
        cells = [service.lookup(Path((name, *rest))) for name in (USERS, f"{USERS}.") for rest in ((), ("x",), ("y",))]
        for cell in cells:
            cell.subscribe(lambda: None)
        await trio.sleep(1)

        assert live.resolver.asked == [(0, USERS), (0, "a.")]
        assert service.lookup(Path((USERS, "x"))) is cells[1]


@pytest.mark.parametrize("records", [None, (), (srv("."),)], ids=["no name", "no record", "no service"])
async def test_what_is_not_there_is_neg(records: tuple[Srv, ...] | None, autojump_clock: MockClock) -> None:
    async with running() as live:
        if records is not None:
            live.resolver.records[USERS] = records
        found = Client(DnsSrvSource(live))
        await trio.sleep(1)

        assert found.name.value == NEG


async def test_a_failure_at_first_is_told(autojump_clock: MockClock) -> None:
    async with running() as live:
        live.resolver.records[USERS] = OSError("SERVFAIL")
        found = Client(DnsSrvSource(live))
        await trio.sleep(0.5)

        assert found.name.value == Failure(f"cannot resolve {USERS}: SERVFAIL")
        assert found.name.retry_at is not None


async def test_one_answer_that_nothing_is_left_is_not_believed(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(**{"a.": ("10.0.0.1",)})) as live:
        live.resolver.records[USERS] = (srv(),)
        found = Client(DnsSrvSource(live))
        await trio.sleep(4)
        live.resolver.records[USERS] = ()
        await trio.sleep(1.5)
        live.resolver.records[USERS] = (srv(),)
        await trio.sleep(20)

        assert found.changes == [(), ("10.0.0.1",)]


async def test_targets_change_while_the_records_cannot_be_had(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(**{"a.": ("10.0.0.1",)})) as live:
        live.resolver.records[USERS] = (srv(),)
        found = Client(DnsSrvSource(live))
        await trio.sleep(4)
        live.resolver.records[USERS] = OSError("SERVFAIL")
        await trio.sleep(10)
        assert found.addr is not None
        stale_since = found.addr.stale_since
        live.resolver.known["a."] = ("10.0.0.2",)
        await trio.sleep(10)

        assert found.hosts() == ("10.0.0.2",)
        assert found.error() == f"cannot resolve {USERS}: SERVFAIL"
        assert found.addr.stale_since == stale_since == 5, "the records are as old as they were"


async def test_new_targets_take_over_when_they_are_resolved(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(**{"a.": ("10.0.0.1",), "b.": ("10.0.0.2",)})) as live:
        live.resolver.records[USERS] = (srv("a."),)
        found = Client(DnsSrvSource(live))
        await trio.sleep(1)
        live.resolver.records[USERS] = (srv("b."),)
        await trio.sleep(5)

        assert found.changes == [(), ("10.0.0.1",), ("10.0.0.2",)]


async def test_a_target_without_an_address_is_told(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(**{"a.": ("10.0.0.1",)})) as live:
        live.resolver.known["c."] = OSError("SERVFAIL")
        live.resolver.records[USERS] = (srv("a."), srv("b."), srv("c."))
        found = Client(DnsSrvSource(live))
        await trio.sleep(1)

        assert found.hosts() == ("10.0.0.1",)
        assert found.error() == "target not resolved: unknown host b. and 1 more"
        assert found.name.stale_since is None, "the answer is as fresh as any"


async def test_a_slow_target_is_waited_for_but_not_for_long(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(**{"a.": ("10.0.0.1",), "b.": ("10.0.0.2",)})) as live:
        live.resolver.records[USERS] = (srv("a."), srv("b."))
        live.resolver.slow["b."] = 3.0
        found = Client(DnsSrvSource(live))
        await trio.sleep(0.9)
        assert found.name.value == PENDING

        await trio.sleep(0.2)
        assert found.hosts() == ("10.0.0.1",)
        await trio.sleep(2)
        assert found.hosts() == ("10.0.0.1", "10.0.0.2")


async def test_targets_that_cannot_be_resolved_at_first(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(**{"a.": OSError("SERVFAIL")})) as live:
        live.resolver.records[USERS] = (srv("a."),)
        found = Client(DnsSrvSource(live))
        await trio.sleep(1)

        assert found.name.value == Failure("cannot resolve a.: SERVFAIL")


async def test_nobody_needs_the_targets_of_a_name_that_nobody_needs(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(**{"a.": ("10.0.0.1",)})) as live:
        live.resolver.records[USERS] = (srv("a."),)
        found = Client(DnsSrvSource(live))
        await trio.sleep(1)
        found.close()
        await trio.sleep(100)
        await wait_all_tasks_blocked()

        assert all(each.subscribers == 0 for each in live.watches.statistics())
        assert live.resolver.asked[-1][0] <= 1 + 30 + 30 + 5


class TestDnsSrvKeepsTheContract(NamerContract):
    provenance = Provenance.REGISTRY
    settled = MAX_DELAY

    def source(self, live: Live) -> Source:
        return DnsSrvSource(live)
