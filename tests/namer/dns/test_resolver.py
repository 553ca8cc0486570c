import pathlib
import subprocess
import sys
from collections import deque
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from namer.dns import resolver as module
from namer.dns.answers import Answer, Failed, Found, Kind, Lifetimes, Nothing, Reply, ServerFailed, Srv
from namer.dns.resolver import MAX_AT_ONCE, MAX_WAIT, Resolver
from namer.dns.settings import Overrides, Server
from tests.namer.fakes import write

FIRST, SECOND = Server("10.0.0.53"), Server("10.0.1.53")
ONE = Overrides(servers=(FIRST,), search=())
TWO = Overrides(servers=(FIRST, SECOND), search=())
SILENCE = None


class World:
    """DNS servers that know the same, unless they are down; what they were asked, and when."""

    def __init__(self, tmp_path: pathlib.Path, overrides: Overrides = ONE) -> None:
        self.replies: dict[tuple[str, Kind], Reply | ServerFailed | None] = {}
        self.down: dict[Server, ServerFailed | None] = {}
        self.delay = 0.0
        self.asked: list[tuple[float, Server, str, Kind]] = []
        self.at_once = self.most_at_once = 0
        self.resolv_conf, self.hosts = tmp_path / "resolv.conf", tmp_path / "hosts"
        self.resolver = Resolver(overrides, Lifetimes(), ask=self.ask, resolv_conf=self.resolv_conf, hosts=self.hosts)

    async def ask(self, server: Server, name: str, kind: Kind) -> Reply:
        self.asked.append((trio.current_time(), server, name, kind))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await trio.sleep(self.delay)
            reply = self.down[server] if server in self.down else self.replies.get((name, kind), NXDOMAIN)
            if reply is SILENCE:
                await trio.sleep_forever()
            if isinstance(reply, ServerFailed):
                raise reply
            assert reply is not None
            return reply
        finally:
            self.at_once -= 1

    @property
    def questions(self) -> list[tuple[str, Kind]]:
        return [(name, kind) for _, _, name, kind in self.asked]


NXDOMAIN = Reply((), 30, exists=False)
NODATA = Reply((), 30)
SERVFAIL = ServerFailed("says SERVFAIL")


def a(*addresses: str, ttl: int = 60) -> Reply:
    return Reply(addresses, ttl)


def records(answer: Answer[str]) -> tuple[str, ...] | None:
    return answer.records if isinstance(answer, Found) else None


async def test_an_answer_holds_for_its_ttl(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path)
    world.replies["web.", "A"] = a("10.0.0.1", ttl=5)
    for _ in range(1000):
        assert await world.resolver.addresses("web") == Found(("10.0.0.1",), 0, 5)
    assert world.questions == [("web.", "A")]

    await trio.sleep(5)
    assert await world.resolver.addresses("web") == Found(("10.0.0.1",), 5, 10)
    assert len(world.asked) == 2


async def test_no_holds_for_its_ttl(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path)
    for _ in range(1000):
        assert await world.resolver.addresses("made-up.example.org") == Nothing(False, 0, 30)
    await trio.sleep(29)
    await world.resolver.addresses("made-up.example.org")

    assert world.questions == [("made-up.example.org.", "A")]


async def test_an_answer_may_have_to_be_newer(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path)
    await world.resolver.addresses("web")
    await trio.sleep(1)

    assert await world.resolver.addresses("web", newer_than=0) == Nothing(False, 1, 31)
    assert await world.resolver.addresses("web", newer_than=0.5) == Nothing(False, 1, 31)
    assert len(world.asked) == 2


async def test_one_question_for_all_who_ask_at_once(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path)
    world.replies["web.", "A"] = a("10.0.0.1")
    world.delay = 0.5
    found: list[Answer[str]] = []

    async def ask() -> None:
        found.append(await world.resolver.addresses("web"))

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask)

    assert [records(each) for each in found] == [("10.0.0.1",)] * 100
    assert len(world.asked) == 1


async def test_a_failure_is_shared_too(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path, replace(ONE, attempts=1))
    world.down[FIRST] = SERVFAIL
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(world.resolver.addresses, "web")
    assert len(world.asked) == 1

    await trio.sleep(1)
    await world.resolver.addresses("web")
    assert len(world.asked) == 2


async def test_who_waits_takes_over_from_who_gave_up(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path)
    world.replies["web.", "A"] = a("10.0.0.1")
    world.delay = 1.0
    found: list[Answer[str]] = []

    async def impatient() -> None:
        with trio.move_on_after(0.5):
            await world.resolver.addresses("web")

    async def patient() -> None:
        await trio.sleep(0.1)
        found.append(await world.resolver.addresses("web"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(impatient)
        nursery.start_soon(patient)

    assert found == [Found(("10.0.0.1",), 1.5, 61.5)]


@pytest.mark.parametrize(
    ("four", "six", "found", "asked"),
    [
        pytest.param(a("10.0.0.1"), a("::1"), ("10.0.0.1",), "A", id="both: IPv4 alone"),
        pytest.param(NODATA, a("::1"), ("::1",), "A AAAA", id="IPv6 alone"),
        pytest.param(NODATA, NODATA, None, "A AAAA", id="neither"),
        pytest.param(NXDOMAIN, a("::1"), None, "A", id="no such name is none of any type"),
        pytest.param(SERVFAIL, a("::1"), None, "A A", id="not known of IPv4: the family does not change for that"),
        pytest.param(NODATA, SERVFAIL, None, "A AAAA AAAA", id="not known of IPv6"),
    ],
)
async def test_families(
    four: Reply | ServerFailed,
    six: Reply | ServerFailed,
    found: tuple[str, ...] | None,
    asked: str,
    tmp_path: pathlib.Path,
    autojump_clock: MockClock,
) -> None:
    world = World(tmp_path)
    world.replies = {("web.", "A"): four, ("web.", "AAAA"): six}
    answer = await world.resolver.addresses("web")

    assert records(answer) == found
    assert isinstance(answer, Failed) is (SERVFAIL in (four, six))
    assert [kind for _, kind in world.questions] == asked.split()


async def test_servers_in_turn_until_one_answers_which_is_first_then(
    tmp_path: pathlib.Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, TWO)
    world.down[FIRST] = SILENCE
    world.replies = {("a.", "A"): a("10.0.0.1"), ("b.", "A"): a("10.0.0.2")}

    assert records(await world.resolver.addresses("a")) == ("10.0.0.1",)
    assert records(await world.resolver.addresses("b")) == ("10.0.0.2",)
    assert [(time, server) for time, server, *_ in world.asked] == [(0, FIRST), (2, SECOND), (2, SECOND)]


@pytest.mark.parametrize(
    ("down", "reason", "seconds"),
    [
        pytest.param(
            SERVFAIL, "DNS server 10.0.0.53 says SERVFAIL; DNS server 10.0.1.53 says SERVFAIL", 0, id="failing"
        ),
        pytest.param(
            SILENCE,
            "DNS server 10.0.0.53 does not answer within 2 s; DNS server 10.0.1.53 does not answer within 2 s",
            MAX_WAIT,
            id="silent",
        ),
    ],
)
async def test_when_all_servers_are_down(
    down: ServerFailed | None, reason: str, seconds: float, tmp_path: pathlib.Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, TWO)
    world.down = dict.fromkeys((FIRST, SECOND), down)

    assert await world.resolver.addresses("web") == Failed(reason, seconds, seconds + 1)


async def test_servers_may_be_asked_in_rotation(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path, Overrides(search=()))
    write(world.resolv_conf, "nameserver 10.0.0.53\nnameserver 10.0.1.53\noptions rotate\n")
    for name in "abcd":
        await world.resolver.addresses(name)

    servers = [server for _, server, *_ in world.asked]
    assert servers == [SECOND, FIRST, SECOND, FIRST]


async def test_resolv_conf_is_obeyed_now_and_when_it_changes(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path, Overrides())
    write(world.resolv_conf, "nameserver 10.0.0.53\nsearch a.org\n")
    await world.resolver.addresses("web")
    write(world.resolv_conf, "nameserver 10.0.1.53\nsearch b.org\noptions ndots:0\n")
    await world.resolver.addresses("web", newer_than=0)
    await trio.sleep(1)
    await world.resolver.addresses("web", newer_than=0)

    assert [(server, name) for _, server, name, _ in world.asked] == [
        (FIRST, "web.a.org."),
        (FIRST, "web."),
        (SECOND, "web."),
        (SECOND, "web.b.org."),
        (SECOND, "web."),
        (SECOND, "web.b.org."),
    ]


async def test_the_environment_says_nothing(
    tmp_path: pathlib.Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALDOMAIN", "a.org")
    monkeypatch.setenv("RES_OPTIONS", "ndots:5 attempts:1")
    world = World(tmp_path, Overrides())
    write(world.resolv_conf, "nameserver 10.0.0.53\n")
    world.down[FIRST] = SERVFAIL
    await world.resolver.addresses("web")

    assert world.questions == [("web.", "A")] * 2


SEARCH = replace(ONE, search=("shop", "default"), attempts=1)


@pytest.mark.parametrize(
    ("replies", "found", "asked"),
    [
        pytest.param({"web.shop.": a("10.0.0.1")}, ("10.0.0.1",), "web.shop.", id="the first"),
        pytest.param({"web.default.": a("10.0.0.2")}, ("10.0.0.2",), "web.shop. web.default.", id="the next"),
        pytest.param({"web.": a("10.0.0.3")}, ("10.0.0.3",), "web.shop. web.default. web.", id="itself"),
        pytest.param(
            {"web.shop.": SERVFAIL, "web.default.": a("10.0.0.2")},
            None,
            "web.shop.",
            id="a failure ends the search: it would not be the same service",
        ),
    ],
)
async def test_the_search_list(
    replies: dict[str, Reply | ServerFailed],
    found: tuple[str, ...] | None,
    asked: str,
    tmp_path: pathlib.Path,
    autojump_clock: MockClock,
) -> None:
    world = World(tmp_path, SEARCH)
    world.replies = {(name, "A"): reply for name, reply in replies.items()}

    assert records(await world.resolver.addresses("web")) == found
    assert [name for name, _ in world.questions] == asked.split()


async def test_nowhere_in_the_search_list(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path, SEARCH)
    world.replies["web.shop.", "A"] = Reply((), 7, exists=False)

    assert await world.resolver.addresses("web") == Nothing(False, 0, 7)


async def test_the_hosts_file_comes_first_and_may_change(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path)
    write(world.hosts, "10.9.9.9 web\n::9 web\n")
    assert await world.resolver.addresses("web.") == Found(("10.9.9.9", "::9"), 0, 5)
    assert world.asked == []

    write(world.hosts, "")
    assert await world.resolver.addresses("web") == Nothing(False, 0, 30)


async def test_services_are_asked_for_by_their_full_name(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path, SEARCH)
    record = Srv(0, 1, 80, "a.")
    world.replies["_http._tcp.web.", "SRV"] = Reply((record,), 60)

    assert await world.resolver.services("_http._tcp.web") == Found((record,), 0, 60)
    assert world.questions == [("_http._tcp.web.", "SRV")]


async def test_what_is_remembered_is_bounded(
    tmp_path: pathlib.Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ANSWERS", 3)
    world = World(tmp_path)
    for name in "abcd":
        await world.resolver.addresses(name)
    await world.resolver.addresses("d")
    await world.resolver.addresses("a")

    assert "".join(name[0] for name, _ in world.questions) == "abcda"


async def test_questions_under_way_are_bounded(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path)
    world.delay = 1.0
    answers: deque[Answer[str]] = deque()

    async def ask(name: str) -> None:
        answers.append(await world.resolver.addresses(name))

    async with trio.open_nursery() as nursery:
        for number in range(10 * MAX_AT_ONCE):
            nursery.start_soon(ask, f"made-up-{number}")

    assert world.most_at_once == MAX_AT_ONCE
    failed = [answer.reason for answer in answers if isinstance(answer, Failed)]
    assert set(failed) == {"no answer within 6 s"}, "whoever waits for a place waits no longer than for a server"
    assert trio.current_time() == MAX_WAIT


async def test_made_up_names_do_not_keep_known_ones_waiting(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path)
    for number in range(10 * MAX_AT_ONCE):
        world.replies[f"made-up-{number}.", "A"] = SILENCE
    world.replies["web.", "A"] = a("10.0.0.1")

    async with trio.open_nursery() as nursery:
        for number in range(10 * MAX_AT_ONCE):
            nursery.start_soon(world.resolver.addresses, f"made-up-{number}")
        await trio.sleep(1)
        assert records(await world.resolver.addresses("web", known=True)) == ("10.0.0.1",)
        assert trio.current_time() == 1


async def test_failing_names_do_not_keep_new_ones_waiting(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path, replace(ONE, attempts=1))
    failing = [f"made-up-{number}" for number in range(MAX_AT_ONCE)]
    for name in failing:
        world.replies[f"{name}.", "A"] = SILENCE
    world.replies["web.", "A"] = a("10.0.0.1")

    async def ask_for_all() -> None:
        async with trio.open_nursery() as nursery:
            for name in failing:
                nursery.start_soon(world.resolver.addresses, name)

    await ask_for_all()
    await trio.sleep(10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_for_all)
        await trio.sleep(1)
        started = trio.current_time()
        assert records(await world.resolver.addresses("web")) == ("10.0.0.1",)
        assert trio.current_time() == started


def test_who_resolves_no_names_does_not_load_dnspython() -> None:
    code = "import sys, nodeagent.agent; sys.exit('dns.message' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
