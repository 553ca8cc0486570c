"""Bounds on staleness, told in virtual time by a source that goes away and comes back."""

from __future__ import annotations

import pathlib
import random

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from namer.addr import Addr, AddrBound, AddrFailed, AddrPending, Endpoint
from namer.cell import Cell
from namer.fs import MAX_FILE_BYTES
from namer.hosts import fail_addr
from namer.namer import PENDING, Failure, NameState
from namer.nametree import Leaf
from namer.path import Path
from namer.staleness import StaleLimit
from namer.watch import Feed, Watches, WatchKey, WatchStatistics
from tests.namer.disk import addr_of
from tests.namer.fakes import FakeResolver, running, write

SOURCE = "/#/test"
KNOWN = AddrBound((Endpoint("10.0.0.1", 80),))
GONE_AT = 100.25


def ignore() -> None:
    """Somebody who only wants the value to be live."""


class Story:
    """A source that answers once, fails every second from 100.25 s on, and answers again at `back_at`."""

    def __init__(self, watches: Watches, back_at: float = 1000.0) -> None:
        self.watches = watches
        self.back_at = back_at

    def cell(self, feed: Feed[Addr] | None = None) -> Cell[Addr]:
        pending: Addr = AddrPending()
        cell = self.watches.cell(WatchKey(SOURCE, "address", "/web"), pending, feed or self.feed)
        cell.subscribe(ignore)
        return cell

    async def feed(self, cell: Cell[Addr]) -> None:
        cell.set(KNOWN, trio.current_time())
        await trio.sleep_until(GONE_AT)
        while trio.current_time() < self.back_at:
            fail_addr(cell, "connection refused", trio.current_time(), trio.current_time() + 1)
            await trio.sleep(1)
        cell.set(KNOWN, trio.current_time())

    def state(self) -> WatchStatistics:
        (state,) = self.watches.statistics()
        return state


async def started(nursery: trio.Nursery, limit: StaleLimit | None) -> Watches:
    watches = Watches(random.Random(7))
    if limit is not None:
        watches.limit(SOURCE, limit)
    await nursery.start(watches.run)
    return watches


async def test_an_answer_that_is_not_confirmed_for_long_is_fresh_while_its_source_does_not_fail(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    story = Story(await started(nursery, StaleLimit(30, refuse=True)))
    cell = story.cell()

    await trio.sleep(99.5)

    assert (cell.value, story.state().stale_since, story.state().overdue) == (KNOWN, None, False)


async def test_a_flag_shows_and_counts_and_changes_nothing(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    story = Story(await started(nursery, StaleLimit(30)))
    cell = story.cell()

    with capture_logs() as logs:
        await trio.sleep(GONE_AT + 29.5)
        assert not story.state().overdue
        await trio.sleep(100)

    assert (cell.value, cell.version, story.state().overdue) == (KNOWN, 1, True)
    totals = story.watches.totals()[SOURCE]
    assert (totals.staleness, totals.overdue) == (129.5, 1)
    assert [log for log in logs if "stale" in log["event"]] == [
        {
            "event": "answers are stale beyond maxStaleSecs",
            "log_level": "warning",
            "source": SOURCE,
            "answers": 1,
            "first": "/web",
            "error": "connection refused",
            "max_stale_seconds": 30,
            "withdrawn": False,
        }
    ], "told once"


async def test_what_is_refused_is_withdrawn_until_the_next_good_answer(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    story = Story(await started(nursery, StaleLimit(30, refuse=True)), back_at=200.0)
    cell = story.cell()

    await trio.sleep(GONE_AT + 30.5)
    assert cell.version == 1

    await trio.sleep(1)
    reason = "stale: last confirmed 131 s ago, failing for 31 s, maxStaleSecs is 30: connection refused"
    assert cell.value == AddrFailed(reason)

    await trio.sleep(60)
    assert isinstance(cell.value, AddrFailed), "that the source goes on to fail is no answer"
    assert (story.state().stale_since, story.state().overdue) == (GONE_AT, True)

    with capture_logs() as logs:
        await trio.sleep_until(202)
    assert (story.state().value, story.state().error, story.state().overdue) == (KNOWN, None, False)
    assert [log["event"] for log in logs] == ["answers are no longer stale beyond maxStaleSecs"]


async def test_a_name_is_withdrawn_as_a_failure(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    watches = await started(nursery, StaleLimit(30, refuse=True))

    async def feed(cell: Cell[NameState]) -> None:
        if isinstance(cell.value, type(PENDING)):
            cell.set(Leaf(Path.parse("/srv/web")), trio.current_time())
        raise OSError("gone")

    pending: NameState = PENDING
    cell = watches.cell(WatchKey(SOURCE, "name", "/web"), pending, feed)
    cell.subscribe(ignore)
    with capture_logs():
        await trio.sleep(40)

    assert isinstance(cell.value, Failure)
    assert cell.value.reason.endswith("maxStaleSecs is 30: OSError: gone")


async def test_what_is_neither_name_nor_address_is_only_flagged(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    watches = await started(nursery, StaleLimit(30, refuse=True))

    async def feed(cell: Cell[str]) -> None:
        cell.set("raw", trio.current_time())
        cell.fail("gone", trio.current_time())

    cell = watches.cell(WatchKey(SOURCE, "service", "/web"), "", feed)
    cell.subscribe(ignore)
    with capture_logs():
        await trio.sleep(40)

    assert (cell.value, watches.totals()[SOURCE].overdue) == ("raw", 1)


async def test_a_flaw_of_an_answer_does_not_age_it(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    story = Story(await started(nursery, StaleLimit(30, refuse=True)))

    async def feed(cell: Cell[Addr]) -> None:
        cell.set(KNOWN, trio.current_time(), flaw="line 2: no port")

    cell = story.cell(feed)
    await trio.sleep(100)

    assert (cell.value, cell.error, story.state().overdue) == (KNOWN, "line 2: no port", False)


async def test_a_source_that_never_answered_is_not_stale(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    story = Story(await started(nursery, StaleLimit(30, refuse=True)))

    async def feed(cell: Cell[Addr]) -> None:
        fail_addr(cell, "connection refused", trio.current_time())

    cell = story.cell(feed)
    await trio.sleep(100)

    assert cell.value == AddrFailed("connection refused")
    assert (story.watches.totals()[SOURCE].staleness, story.state().overdue) == (0.0, False)


@pytest.mark.parametrize("limit", [None, StaleLimit(1e9)], ids=["no limit", "a long one"])
async def test_within_the_limit_only_the_staleness_is_told(
    nursery: trio.Nursery, autojump_clock: MockClock, limit: StaleLimit | None
) -> None:
    story = Story(await started(nursery, limit))
    story.cell()

    await trio.sleep(500)

    totals = story.watches.totals()[SOURCE]
    assert (totals.staleness, totals.overdue, totals.errors) == (399.75, 0, 400)


async def test_who_nobody_uses_is_not_counted(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    story = Story(await started(nursery, StaleLimit(5)))
    cell = story.cell()
    await trio.sleep(GONE_AT + 20)

    cell.unsubscribe(ignore)

    assert story.watches.totals()[SOURCE].overdue == 0


async def test_a_file_that_cannot_be_read_ages_while_its_hosts_are_followed(
    tmp_path: pathlib.Path, autojump_clock: MockClock
) -> None:
    async with running(FakeResolver(db=("10.0.0.1",))) as live:
        write(tmp_path / "web", "db 80\n")
        addr = await addr_of(live, tmp_path)
        await trio.sleep(10)
        confirmed_at = addr.updated_at

        write(tmp_path / "web", "x" * (MAX_FILE_BYTES + 1))
        await trio.sleep(30)
        live.resolver.known["db"] = ("10.0.0.2",)
        await trio.sleep(30)

    assert addr.value == AddrBound((Endpoint("10.0.0.2", 80),))
    assert (addr.updated_at, addr.stale_since is not None and 11 < addr.stale_since < 13) == (confirmed_at, True)


async def test_the_metric_is_of_who_is_stale_longest_and_the_log_of_the_first_and_the_last(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    watches = await started(nursery, StaleLimit(30))

    def follow(name: str, gone_at: float, back_at: float) -> None:
        async def feed(cell: Cell[Addr]) -> None:
            cell.set(KNOWN, trio.current_time())
            await trio.sleep_until(gone_at)
            fail_addr(cell, "refused", trio.current_time())
            await trio.sleep_until(back_at)
            cell.set(KNOWN, trio.current_time())

        pending: Addr = AddrPending()
        watches.cell(WatchKey(SOURCE, "address", name), pending, feed).subscribe(ignore)

    follow("/a", 10, 200)
    follow("/b", 60, 300)
    seen = []
    with capture_logs() as logs:
        for at in (99, 250, 350):
            await trio.sleep_until(at)
            seen.append((watches.totals()[SOURCE].staleness, watches.totals()[SOURCE].overdue))

    assert seen == [(89, 2), (190, 1), (0, 0)]
    assert [log["event"] for log in logs] == [
        "answers are stale beyond maxStaleSecs",
        "answers are no longer stale beyond maxStaleSecs",
    ]
