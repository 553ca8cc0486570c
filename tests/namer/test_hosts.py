import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.hosts import ip_literal, is_host, usable
from namer.staleness import StaleLimit
from tests.namer.fakes import FakeResolver, Live, running

DOWN = OSError("DNS server 10.0.0.53 says SERVFAIL")


def ignore() -> None:
    """Somebody who only wants the value to be live."""


def bound(*hosts: str, port: int = 80) -> Addr:
    return AddrBound(tuple(Endpoint(host, port) for host in hosts))


@pytest.mark.parametrize(
    ("host", "addr"),
    [
        ("127.0.0.1", bound("127.0.0.1")),
        ("::1", bound("::1")),
        ("[::1]", bound("::1")),
        ("localhost", bound("127.0.0.1")),
        ("Web.LocalHost.", bound("127.0.0.1")),
        ("[FE80:0::1%eth0]", bound("fe80::1%eth0")),
        ("127.1", bound("127.0.0.1")),
        ("2130706433", bound("127.0.0.1")),
        ("127.0.0.1.", bound("127.0.0.1")),
        ("[::ffff:127.0.0.1]", bound("127.0.0.1")),
        ("a b", AddrNeg()),
        ("..", AddrNeg()),
        ("-" * 64, AddrNeg()),
        (".".join(["a" * 60] * 5), AddrNeg()),
        ("\udcff", AddrNeg()),
        ("bücher.example", AddrNeg()),
        ("[127.0.0.1]", AddrNeg()),
        ("[]", AddrNeg()),
    ],
)
async def test_some_hosts_are_known_without_asking(host: str, addr: Addr) -> None:
    async with running() as live:
        cell = live.hosts.addr(host, 80)

        assert cell.value == addr
        assert live.watches.statistics() == (), "no task, nothing to keep"


async def test_an_international_name_is_asked_for_in_its_ascii_form(autojump_clock: MockClock) -> None:
    resolver = FakeResolver(**{"xn--bcher-kva.example": ("10.0.0.1",)})
    async with running(resolver) as live:
        cell = live.hosts.addr("xn--bcher-kva.example", 80)
        cell.subscribe(ignore)
        await trio.sleep(1)

        assert cell.value == bound("10.0.0.1")


async def test_a_host_is_asked_for_by_its_ttl_while_somebody_needs_it(autojump_clock: MockClock) -> None:
    resolver = FakeResolver(web=("10.0.0.2", "10.0.0.1"))
    async with running(resolver) as live:
        cell = live.hosts.addr("Web", 80)
        await trio.sleep(10)
        assert resolver.asked == []

        cell.subscribe(ignore)
        await trio.sleep(11)
        assert resolver.asked == [(10, "web"), (15, "web"), (20, "web")]
        assert cell.value == bound("10.0.0.1", "10.0.0.2")

        cell.unsubscribe(ignore)
        await trio.sleep(100)
        assert resolver.asked[-1][0] <= 21 + 30


async def test_all_ports_of_a_host_share_one_answer(autojump_clock: MockClock) -> None:
    resolver = FakeResolver(web=("10.0.0.1",))
    async with running(resolver) as live:
        cells = [live.hosts.addr(host, port) for host in ("web", "WEB") for port in range(1, 101)]
        for cell in cells:
            cell.subscribe(ignore)
        await trio.sleep(1)
        assert resolver.asked == [(0, "web")]
        assert [cell.value for cell in cells[:100]] == [bound("10.0.0.1", port=port) for port in range(1, 101)]

        resolver.known["web"] = DOWN
        await trio.sleep(5)
        assert {cell.error for cell in cells} == {"cannot resolve web: DNS server 10.0.0.53 says SERVFAIL"}
        assert len(live.watches.statistics()) == 1


async def test_changes_are_followed(autojump_clock: MockClock) -> None:
    resolver = FakeResolver(web=("10.0.0.1",))
    async with running(resolver) as live:
        cell = live.hosts.addr("web", 80)
        cell.subscribe(ignore)
        seen: list[Addr] = [cell.value]
        for found in [("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1"), ()]:
            await trio.sleep(5)
            seen.append(cell.value)
            resolver.known["web"] = found
        await trio.sleep(0.5)
        seen.append(cell.value)

        one, two = bound("10.0.0.1"), bound("10.0.0.1", "10.0.0.2")
        assert seen == [AddrPending(), one, two, two, two], "of no addresses the resolver must be sure"
        assert cell.version == 2, "another order is no change"

        await trio.sleep(6)
        assert cell.value == AddrNeg(), "no addresses are as good as no host"


async def test_a_host_that_is_gone_for_a_moment_keeps_its_addresses(autojump_clock: MockClock) -> None:
    resolver = FakeResolver(web=("10.0.0.1",))
    async with running(resolver) as live:
        cell = live.hosts.addr("web", 80)
        cell.subscribe(ignore)
        await trio.sleep(4)
        del resolver.known["web"]
        await trio.sleep(1.5)
        assert cell.value == bound("10.0.0.1")
        assert cell.error == "cannot resolve web: does not exist any more, says one answer"
        assert cell.retry_at is not None

        resolver.known["web"] = ("10.0.0.1",)
        await trio.sleep(1)
        assert cell.value == bound("10.0.0.1")
        assert not cell.error


async def test_a_failure_keeps_the_last_good_addresses(autojump_clock: MockClock) -> None:
    resolver = FakeResolver(web=("10.0.0.1",))
    async with running(resolver) as live:
        cell = live.hosts.addr("web", 80)
        cell.subscribe(ignore)
        await trio.sleep(1)

        resolver.known["web"] = DOWN
        with capture_logs() as logs:
            await trio.sleep(60)
        assert cell.value == bound("10.0.0.1")
        assert cell.error == "cannot resolve web: DNS server 10.0.0.53 says SERVFAIL"
        assert [(log["event"], log["host"]) for log in logs] == [("host not resolved", "web")]

        resolver.known["web"] = ("10.0.0.9",)
        await trio.sleep(30)
        assert cell.value == bound("10.0.0.9")
        assert not cell.error


async def test_made_up_hosts_do_not_fill_the_log(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(web=DOWN)) as live:
        cell = live.hosts.addr("web", 80)
        with capture_logs() as logs:
            cell.subscribe(ignore)
            await trio.sleep(60)

        assert cell.value == AddrFailed("cannot resolve web: DNS server 10.0.0.53 says SERVFAIL")
        assert logs == []


async def test_addresses_that_nobody_confirmed_for_too_long_are_refused(autojump_clock: MockClock) -> None:
    resolver = FakeResolver(web=("10.0.0.1",))
    live = Live(resolver)
    live.watches.limit("dns", StaleLimit(60, refuse=True))
    async with trio.open_nursery() as nursery:
        await nursery.start(live.watches.run)
        cell = live.hosts.addr("web", 80)
        cell.subscribe(ignore)
        await trio.sleep(4)
        resolver.known["web"] = DOWN
        await trio.sleep(60)
        assert cell.value == bound("10.0.0.1"), "stale since its TTL was over, a second later"

        await trio.sleep(3)
        assert isinstance(cell.value, AddrFailed)
        assert "maxStaleSecs is 60" in cell.value.reason

        resolver.known["web"] = ("10.0.0.2",)
        await trio.sleep(30)
        assert (cell.value, cell.error) == (bound("10.0.0.2"), None)
        nursery.cancel_scope.cancel()


async def test_a_failure_with_nothing_known_is_told(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(web=DOWN)) as live:
        cell = live.hosts.addr("web", 80)
        cell.subscribe(ignore)
        await trio.sleep(1)

        assert cell.value == AddrFailed("cannot resolve web: DNS server 10.0.0.53 says SERVFAIL")


async def test_an_unknown_host_is_an_answer(autojump_clock: MockClock) -> None:
    resolver = FakeResolver(web=("10.0.0.1",))
    async with running(resolver) as live:
        cell = live.hosts.addr("web", 80)
        cell.subscribe(ignore)
        await trio.sleep(1)
        del resolver.known["web"]
        await trio.sleep(6)
        assert (cell.value, cell.error) == (AddrNeg(), None)

        resolver.known["web"] = DOWN
        await trio.sleep(60)
        assert cell.value == AddrNeg(), "what is known stays, be it that there is nothing"
        assert cell.error


async def test_until_the_resolver_answers_the_address_is_pending() -> None:
    resolver = FakeResolver(web=("10.0.0.1",))
    resolver.answering = trio.Event()
    async with running(resolver) as live:
        cell = live.hosts.addr("web", 80)
        cell.subscribe(ignore)
        await wait_all_tasks_blocked()
        assert cell.value == AddrPending()

        resolver.answering.set()
        await cell.wait_changed(cell.version)
        assert cell.value == bound("10.0.0.1")


async def test_a_fixed_host_is_found_once(autojump_clock: MockClock) -> None:
    resolver = FakeResolver(web=DOWN)
    async with running(resolver) as live:
        cell = live.hosts.fixed_addr("web", 80)
        cell.subscribe(ignore)
        await trio.sleep(7)
        resolver.known["web"] = ("10.0.0.1",)
        await trio.sleep(10)
        tried = len(resolver.asked)
        resolver.known["web"] = ("10.0.0.2",)
        await trio.sleep(70)

        assert cell.value == bound("10.0.0.1")
        assert len(resolver.asked) == tried


@pytest.mark.parametrize(
    ("found", "used"),
    [
        (["127.0.0.1", "::1"], ("127.0.0.1",)),
        (["::2", "::1"], ("::1", "::2")),
        (["10.0.0.2", "10.0.0.1", "10.0.0.2"], ("10.0.0.1", "10.0.0.2")),
        ([], ()),
    ],
)
def test_one_family_is_used(found: list[str], used: tuple[str, ...]) -> None:
    assert usable(found) == used


@pytest.mark.parametrize(
    ("host", "literal", "host_like"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("example.org", None, True),
        ("example.org.", None, True),
        ("a_b-c", None, True),
        ("127.1", "127.0.0.1", True),
        ("127.0.0.256", None, True),
        ("example..org", None, False),
        ("exa mple", None, False),
        ("", None, False),
        ("[example]", None, False),
    ],
)
def test_what_is_an_address_and_what_a_name(host: str, literal: str | None, host_like: bool) -> None:
    assert ip_literal(host) == literal
    assert is_host(host) is host_like
