"""Blocking queries: where they go on, how often they are asked, and what ends none of them."""

from __future__ import annotations

import pathlib
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from namer.cell import Cell
from namer.consul import api
from namer.consul.api import (
    HELD_TIMEOUT,
    MAX_FOLLOWED,
    MAX_PAUSE,
    PAUSE,
    POLL,
    WAIT,
    Consul,
    Cursor,
    following,
    read_index,
)
from namer.consul.catalog import Registered, Rules
from namer.consul.service import follow_service
from namer.httpapi import ApiError, Reply
from namer.report import Report
from tests.namer.consul.fake import URL, FakeConsul, hangs, has_no_leader, instance, raw, refuses, reply

WEB = "/v1/health/service/web"


@pytest.mark.parametrize(
    ("header", "index"),
    [
        ("12", 12),
        (None, 0),
        ("", 0),
        ("0", 0),
        ("-1", 0),
        ("1e9", 0),
        ("twelve", 0),
        ("²", 0),
        ("9" * 21, 0),
    ],
)
def test_an_index_is_a_number_or_none(header: str | None, index: int) -> None:
    assert read_index(header) == index


@pytest.mark.parametrize(
    ("seen", "found", "cursor"),
    [
        pytest.param(0, 7, Cursor(7, PAUSE), id="the first answer"),
        pytest.param(7, 8, Cursor(8, PAUSE), id="a change"),
        pytest.param(7, 7, Cursor(7, PAUSE), id="nothing new"),
        pytest.param(7, 3, Cursor(0, PAUSE), id="backwards: ask plainly"),
        pytest.param(7, 0, Cursor(0, POLL), id="none: cannot be waited for"),
    ],
)
def test_where_to_go_on(seen: int, found: int, cursor: Cursor) -> None:
    assert following(seen, found, PAUSE) == cursor


class Heard:
    """Notes what it is told."""

    def __init__(self, again: float | None = None) -> None:
        self.again = again
        self.answers: list[tuple[float, bool]] = []
        self.problems: list[tuple[float, str, float]] = []

    async def heard(self, reply: Reply, steady: bool) -> float | None:
        reply.json(list[object])
        self.answers.append((trio.current_time(), steady))
        return self.again

    def failed(self, problem: str, retry_at: float) -> None:
        self.problems.append((trio.current_time(), problem, retry_at))


@asynccontextmanager
async def following_web(fake: FakeConsul, consul: Consul | None = None) -> AsyncIterator[Heard]:
    heard = Heard()
    async with trio.open_nursery() as nursery:
        nursery.start_soon((consul or fake.consul()).follow, WEB, {}, heard)
        yield heard
        nursery.cancel_scope.cancel()


async def test_a_question_is_held_until_there_is_news(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    async with following_web(fake) as heard:
        await trio.sleep(10)
        fake.serve("web", instance("10.0.0.1"))
        await trio.sleep(0.1)

        assert [at for at, _ in heard.answers] == [0.0, 10.0]
        assert [each.query for each in fake.asked][:2] == [{}, {"index": "1", "wait": f"{WAIT}s"}]


async def test_without_news_it_is_asked_again_and_again(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    async with following_web(fake) as heard:
        await trio.sleep(4 * WAIT + 1)

        assert 4 <= len(heard.answers) <= 5
        assert heard.problems == []


async def test_answers_that_come_at_once_make_no_hot_loop(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    fake.goes_wrong(lambda: reply([], index=9))
    async with following_web(fake) as heard:
        await trio.sleep(60)

    assert len(heard.answers) <= 60 / MAX_PAUSE + 5


async def test_news_in_a_row_are_not_waited_for_long(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    async with following_web(fake) as heard:
        await trio.sleep(10)
        for number in range(20):
            fake.serve("web", instance(f"10.0.0.{number}"))
            await trio.sleep(0.5)

    assert len(heard.answers) == 21


@pytest.mark.parametrize("index", [None, 0, "garbage"])
async def test_without_a_usable_index_it_is_asked_every_few_seconds(
    index: int | str | None, autojump_clock: MockClock
) -> None:
    fake = FakeConsul()
    fake.goes_wrong(lambda: reply([], index=index))
    async with following_web(fake) as heard:
        await trio.sleep(60)

    assert [at for at, _ in heard.answers] == [POLL * number for number in range(6)]
    assert all(each.query == {} for each in fake.asked)


async def test_an_index_that_goes_backwards_starts_over(autojump_clock: MockClock) -> None:
    fake = FakeConsul(index=500)
    async with following_web(fake) as heard:
        await trio.sleep(5)
        fake.index = 2
        fake.goes_wrong(lambda: reply([], index=2))
        await trio.sleep(0.1)
        fake.trouble = None
        await trio.sleep(5)

    assert [steady for _, steady in heard.answers] == [True, False, True]
    assert [each.query.get("index") for each in fake.asked] == [None, "500", None, "2"]


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(refuses, id="refused"),
        pytest.param(hangs, id="hangs"),
        pytest.param(lambda: raw(b"<html>", index=3), id="HTML"),
        pytest.param(lambda: reply({}, index=3), id="no list"),
        pytest.param(lambda: raw(b"null", index=3), id="null"),
    ],
)
async def test_after_any_trouble_it_goes_on(trouble: Callable[[], Reply | None], autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    async with following_web(fake) as heard:
        await trio.sleep(1)
        fake.goes_wrong(trouble)
        await trio.sleep(600)
        problems = len(heard.problems)
        fake.serve("web", instance("10.0.0.1"))
        await trio.sleep(15)

        assert heard.problems[0][0] <= 1 + HELD_TIMEOUT
        assert 40 <= problems <= 300
        assert [steady for _, steady in heard.answers] == [True, False]
        assert fake.sessions_open == 1


async def test_a_first_question_that_hangs_is_told_soon(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    fake.goes_wrong(hangs)
    async with following_web(fake) as heard:
        await trio.sleep(3)

        (problem,) = heard.problems
        assert (problem[0], problem[1]) == (2.5, f"{URL}{WEB}: no answer within 2.5 s")


async def test_an_outage_is_logged_when_it_begins_and_when_it_ends(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeConsul()
    consul, cells = fake.consul(), [Cell[Report[Registered]](Report(None)) for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for number, cell in enumerate(cells):
            nursery.start_soon(follow_service, consul, "dc1", f"s{number}", Rules(), cell)
        await trio.sleep(1)
        fake.goes_wrong(refuses)
        await trio.sleep(60)
        fake.serve("s1")
        await trio.sleep(20)
        fake.goes_wrong(has_no_leader)
        await trio.sleep(20)
        nursery.cancel_scope.cancel()

    begun, ended, other = capsys.readouterr().out.splitlines()
    assert "consul localhost:8500 does not answer; what was good before stays" in begun
    assert "connection refused" in begun
    assert "consul localhost:8500 answers again" in ended
    assert re.search("after='6[0-5]\\.[0-9] s'", ended), ended
    assert "no usable answer; what was good before stays" in other
    assert "No cluster leader" in other


async def test_in_an_outage_from_the_start_nothing_stays(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeConsul(trouble=refuses)
    async with following_web(fake):
        await trio.sleep(60)

    (line,) = capsys.readouterr().out.splitlines()
    assert "consul localhost:8500 does not answer" in line
    assert "stays" not in line


async def test_too_many_services_are_polled_by_connections_that_end(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    consul, heard, scopes = fake.consul(), Heard(), [trio.CancelScope() for _ in range(MAX_FOLLOWED + 20)]

    async def follow(number: int) -> None:
        with scopes[number]:
            await consul.follow(f"/v1/health/service/s{number}", {}, heard)

    async with trio.open_nursery() as nursery:
        for number in range(len(scopes)):
            nursery.start_soon(follow, number)
        for _ in range(7):
            await trio.sleep(POLL / 2 - 1)
            fake.change()  # all that are held are answered at once; nobody takes their place
        polled = {each.path for each in fake.asked if "connection" in each.headers}
        kept = {each.path for each in fake.asked if "index" in each.query}

        assert (len(polled), len(kept), len(polled & kept)) == (20, MAX_FOLLOWED, 0)
        assert fake.most_held == MAX_FOLLOWED
        assert len([each for each in fake.asked if each.path in polled]) == 20 * 3
        for number, scope in enumerate(scopes):
            if f"/v1/health/service/s{number}" in kept:
                scope.cancel()
        await trio.sleep(POLL)
        await trio.sleep(POLL)
        assert fake.held == 20
        nursery.cancel_scope.cancel()


async def test_one_that_hangs_does_not_let_the_others_wait_for_ever(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    fake.goes_wrong(hangs)
    consul, heard = fake.consul(), Heard()
    async with trio.open_nursery() as nursery:
        for number in range(api.MAX_PLAIN + 5):
            nursery.start_soon(consul.follow, f"/v1/health/service/s{number}", {}, heard)
        await trio.sleep(3)
        nursery.cancel_scope.cancel()

    assert len(heard.problems) == api.MAX_PLAIN + 5


@pytest.mark.parametrize(("mode", "query"), [("default", {}), ("stale", {"stale": "1"})])
async def test_the_consistency_mode(mode: str, query: dict[str, str], autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    async with following_web(fake, fake.consul(consistency=mode)):
        await trio.sleep(1)

    assert fake.asked[0].query == query


async def test_a_token_of_a_file_may_change(tmp_path: pathlib.Path) -> None:
    fake, file = FakeConsul(), tmp_path / "token"
    consul = fake.consul(token="other", token_file=file)
    file.write_text("one\n")
    async with consul.session() as session:
        await consul.call(session, "GET", WEB, {})
        file.write_text("two\n")
        await consul.call(session, "GET", WEB, {})
        file.unlink()
        with pytest.raises(ApiError, match="token: the token cannot be read"):
            await consul.call(session, "GET", WEB, {})

    assert [each.headers for each in fake.asked] == [{"x-consul-token": "one"}, {"x-consul-token": "two"}]


def test_the_token_is_in_no_text() -> None:
    assert "s3cret" not in repr(api.Access(token="s3cret"))


@pytest.mark.parametrize(("size", "apart"), [(api.SMALL, False), (api.SMALL + 1, True)])
async def test_a_large_answer_is_read_apart(size: int, apart: bool) -> None:
    answer = Reply("http://c", 200, {}, b" " * size)
    reader = await FakeConsul().consul().read(answer, lambda _: threading.get_ident())

    assert (reader != threading.get_ident()) is apart
