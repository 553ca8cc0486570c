import socket

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.hosts import UnknownHostError, ip_literal, is_host, system_resolve, usable
from tests.namer.fakes import FakeResolver, running

DOWN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


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
        ("[FE80:0::1%eth0]", bound("fe80::1%eth0")),
        ("a b", AddrNeg()),
        ("..", AddrNeg()),
        ("-" * 64, AddrNeg()),
        (".".join(["a" * 60] * 5), AddrNeg()),
        ("\udcff", AddrNeg()),
        ("[127.0.0.1]", AddrNeg()),
        ("[]", AddrNeg()),
    ],
)
async def test_some_hosts_are_known_without_asking(host: str, addr: Addr) -> None:
    async with running() as live:
        cell = live.hosts.addr(host, 80)

        assert cell.value == addr
        assert live.watches.statistics() == (), "no task, nothing to keep"


async def test_a_host_is_asked_for_every_five_seconds_while_somebody_needs_it(autojump_clock: MockClock) -> None:
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
        await trio.sleep(5)

        assert seen == [AddrPending(), bound("10.0.0.1"), bound("10.0.0.1", "10.0.0.2"), bound("10.0.0.1", "10.0.0.2")]
        assert cell.value == AddrNeg(), "no addresses are as good as no host"
        assert cell.version == 3, "another order is no change"


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
        assert cell.error == "cannot resolve web: Temporary failure in name resolution"
        assert [(log["event"], log["host"]) for log in logs] == [("host not resolved", "web")]

        resolver.known["web"] = ("10.0.0.9",)
        await trio.sleep(6)
        assert cell.value == bound("10.0.0.9")
        assert not cell.error


async def test_a_failure_with_nothing_known_is_told(autojump_clock: MockClock) -> None:
    async with running(FakeResolver(web=DOWN)) as live:
        cell = live.hosts.addr("web", 80)
        cell.subscribe(ignore)
        await trio.sleep(1)

        assert cell.value == AddrFailed("cannot resolve web: Temporary failure in name resolution")


async def test_an_unknown_host_is_an_answer(autojump_clock: MockClock) -> None:
    resolver = FakeResolver(web=("10.0.0.1",))
    async with running(resolver) as live:
        cell = live.hosts.addr("web", 80)
        cell.subscribe(ignore)
        await trio.sleep(1)
        del resolver.known["web"]
        await trio.sleep(5)

        assert (cell.value, cell.error) == (AddrNeg(), None)


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
        await trio.sleep(7)
        resolver.known["web"] = ("10.0.0.2",)
        await trio.sleep(70)

        assert cell.value == bound("10.0.0.1")
        assert [time for time, _ in resolver.asked] == [0, 5, 10]


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
        ("127.1", None, True),
        ("example..org", None, False),
        ("exa mple", None, False),
        ("", None, False),
        ("[example]", None, False),
    ],
)
def test_what_is_an_address_and_what_a_name(host: str, literal: str | None, host_like: bool) -> None:
    assert ip_literal(host) == literal
    assert is_host(host) is host_like


async def test_the_system_knows_localhost() -> None:
    assert "127.0.0.1" in await system_resolve("localhost")


@pytest.mark.parametrize(
    ("code", "raised"), [(socket.EAI_NONAME, UnknownHostError), (socket.EAI_AGAIN, socket.gaierror)]
)
async def test_the_system_says_whether_it_is_sure(
    monkeypatch: pytest.MonkeyPatch, code: int, raised: type[Exception]
) -> None:
    async def getaddrinfo(*_: object, **__: object) -> object:
        raise socket.gaierror(code, "what the system says")

    monkeypatch.setattr(trio.socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(raised):
        await system_resolve("web")
