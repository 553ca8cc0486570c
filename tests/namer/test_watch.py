"""The life of a watch, told in virtual time."""

import gc
import itertools
import random
from collections.abc import AsyncIterator

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from namer.cell import Cell
from namer.watch import FIRST_DELAY, MAX_DELAY, SourceTotals, Watches, WatchKey, restart_delay

KEY = WatchKey("/#/test", "name", "/web")


def ignore() -> None:
    """Somebody who only wants the value to be live."""


class Source:
    """A feed that counts up once a second, and notes when it was started and ended."""

    def __init__(self) -> None:
        self.life: list[tuple[float, str]] = []

    async def feed(self, cell: Cell[int]) -> None:
        self.life.append((trio.current_time(), "start"))
        try:
            for count in range(1, 1000):
                cell.set(count, trio.current_time())
                await trio.sleep(1)
        finally:
            self.life.append((trio.current_time(), "end"))


@pytest.fixture
async def watches(nursery: trio.Nursery) -> AsyncIterator[Watches]:
    watches = Watches(random.Random(7), idle=30)
    await nursery.start(watches.run)
    yield watches
    nursery.cancel_scope.cancel()


async def test_a_feed_starts_with_the_first_subscriber_and_ends_when_idle(
    watches: Watches, autojump_clock: MockClock
) -> None:
    source = Source()
    cell = watches.cell(KEY, 0, source.feed)

    await trio.sleep(10)
    assert source.life == [], "nobody is interested"

    cell.subscribe(ignore)
    await trio.sleep(10.5)
    assert (cell.value, source.life) == (11, [(10, "start")])

    cell.unsubscribe(ignore)
    await trio.sleep(29)
    assert cell.value == 40, "still live for a while"

    await trio.sleep(2)
    assert source.life == [(10, "start"), (50.5, "end")]
    assert (cell.value, cell.updated_at) == (0, None), "what nobody keeps live is forgotten"


async def test_it_goes_on_for_half_a_minute_unless_told_otherwise(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    watches, source = Watches(random.Random(7)), Source()
    await nursery.start(watches.run)
    cell = watches.cell(KEY, 0, source.feed)
    cell.subscribe(ignore)
    await trio.sleep(1)
    cell.unsubscribe(ignore)
    await trio.sleep(60)
    nursery.cancel_scope.cancel()

    assert source.life == [(0, "start"), (31, "end")]


async def test_who_comes_back_in_time_finds_it_live(watches: Watches, autojump_clock: MockClock) -> None:
    source = Source()
    cell = watches.cell(KEY, 0, source.feed)
    for _ in range(5):
        cell.subscribe(ignore)
        await trio.sleep(1)
        cell.unsubscribe(ignore)
        await trio.sleep(29)

    assert source.life == [(0, "start")]


async def test_who_comes_back_late_starts_it_again(watches: Watches, autojump_clock: MockClock) -> None:
    source = Source()
    cell = watches.cell(KEY, 0, source.feed)
    for _ in range(2):
        cell.subscribe(ignore)
        await trio.sleep(1)
        cell.unsubscribe(ignore)
        await trio.sleep(50)

    assert source.life == [(0, "start"), (31, "end"), (51, "start"), (82, "end")]


async def test_who_comes_back_while_it_is_being_ended_starts_it_again(
    watches: Watches, autojump_clock: MockClock
) -> None:
    lives = 0

    async def feed(cell: Cell[int]) -> None:
        nonlocal lives
        lives += 1
        cell.set(lives, trio.current_time())
        try:
            await trio.sleep_forever()
        finally:
            if lives == 1:
                cell.subscribe(ignore)

    cell = watches.cell(KEY, 0, feed)
    cell.subscribe(ignore)
    await trio.sleep(1)
    cell.unsubscribe(ignore)
    await trio.sleep(100)

    assert (lives, cell.value) == (2, 2)


async def test_a_short_visit_before_the_feed_could_start_starts_nothing(
    watches: Watches, autojump_clock: MockClock
) -> None:
    source = Source()
    cell = watches.cell(KEY, 0, source.feed)
    cell.subscribe(ignore)
    cell.unsubscribe(ignore)
    await trio.sleep(1)

    assert source.life == []

    cell.subscribe(ignore)
    await trio.sleep(1)
    assert source.life == [(1, "start")]


async def test_equal_keys_share_a_cell_and_a_feed(watches: Watches, autojump_clock: MockClock) -> None:
    source, unused = Source(), Source()
    one = watches.cell(KEY, 0, source.feed)
    two = watches.cell(WatchKey("/#/test", "name", "/web"), 0, unused.feed)
    other = watches.cell(WatchKey("/#/test", "name", "/other"), 0, source.feed)

    assert one is two
    assert one is not other

    one.subscribe(ignore)
    two.subscribe(ignore)
    await trio.sleep(1)
    assert (len(source.life), unused.life) == (1, [])


async def test_nothing_is_kept_of_cells_that_nobody_holds(watches: Watches, autojump_clock: MockClock) -> None:
    for number in range(100):
        cell = watches.cell(WatchKey("/#/test", "name", f"/{number}"), 0, Source().feed)
        cell.subscribe(ignore)
        cell.unsubscribe(ignore)
    del cell
    assert len(watches.statistics()) == 100

    await trio.sleep(60)
    gc.collect()
    assert watches.statistics() == ()


async def test_a_feed_that_raises_is_started_again_after_growing_delays(
    watches: Watches, autojump_clock: MockClock
) -> None:
    starts: list[float] = []

    async def feed(cell: Cell[int]) -> None:
        starts.append(trio.current_time())
        raise RuntimeError("no luck")

    cell = watches.cell(KEY, 0, feed)
    cell.subscribe(ignore)
    with capture_logs() as logs:
        await trio.sleep(300)

    delays = [late - early for early, late in itertools.pairwise(starts)]
    for count, delay in enumerate(delays):
        longest = min(30.0, 0.1 * 2**count)
        assert longest / 2 <= delay <= longest
    assert (cell.value, cell.error, cell.failures) == (0, "RuntimeError: no luck", len(starts))
    assert logs[0]["event"] == "watch failed"
    assert (logs[0]["source"], logs[0]["name"], logs[0]["error"]) == ("/#/test", "/web", "RuntimeError: no luck")


async def test_the_last_good_value_stays_and_progress_makes_the_delay_short_again(
    watches: Watches, autojump_clock: MockClock
) -> None:
    starts: list[float] = []

    async def feed(cell: Cell[int]) -> None:
        starts.append(trio.current_time())
        cell.set(len(starts), trio.current_time())
        await trio.sleep(10)
        raise RuntimeError("no luck")

    cell = watches.cell(KEY, 0, feed)
    cell.subscribe(ignore)
    await trio.sleep(10.01)
    assert (cell.value, cell.error) == (1, "RuntimeError: no luck")

    await trio.sleep(1)
    assert (cell.value, cell.error) == (2, None), "recovered"

    await trio.sleep(100)
    delays = [late - early for early, late in itertools.pairwise(starts)]
    assert all(10.05 <= delay <= 10.1 for delay in delays)


async def test_a_feed_that_returns_has_said_its_last_word(watches: Watches, autojump_clock: MockClock) -> None:
    asked = 0

    async def feed(cell: Cell[int]) -> None:
        nonlocal asked
        asked += 1
        cell.set(42, trio.current_time())

    cell = watches.cell(KEY, 0, feed)
    cell.subscribe(ignore)
    await trio.sleep(1000)

    assert (cell.value, asked) == (42, 1)


async def test_a_cell_may_be_subscribed_to_before_the_watches_run(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    watches, source = Watches(random.Random(7)), Source()
    cell = watches.cell(KEY, 0, source.feed)
    cell.subscribe(ignore)
    await trio.sleep(5)

    await nursery.start(watches.run)
    await trio.sleep(1)

    assert source.life == [(5, "start")]
    nursery.cancel_scope.cancel()


async def test_stopping_ends_all_feeds_and_keeps_the_values(autojump_clock: MockClock) -> None:
    watches, source = Watches(random.Random(7)), Source()
    cell = watches.cell(KEY, 0, source.feed)
    cell.subscribe(ignore)
    with trio.move_on_after(5.5):
        await watches.run()

    assert source.life == [(0, "start"), (5.5, "end")]
    assert cell.value == 6


async def test_statistics_tell_what_is_known(watches: Watches, autojump_clock: MockClock) -> None:
    source = Source()
    cell = watches.cell(KEY, 0, source.feed)
    cell.subscribe(ignore)
    await trio.sleep(2.5)
    cell.fail("broken", trio.current_time())

    (statistics,) = watches.statistics()

    assert statistics.key == KEY
    assert (statistics.subscribers, statistics.version, statistics.updated_at) == (1, 3, 2.0)
    assert statistics.error == "broken"
    assert watches.totals() == {"/#/test": SourceTotals(updates=3, errors=1)}


async def test_totals_only_grow(watches: Watches, autojump_clock: MockClock) -> None:
    cell = watches.cell(KEY, 0, Source().feed)
    cell.subscribe(ignore)
    await trio.sleep(1.5)
    cell.unsubscribe(ignore)
    await trio.sleep(60)
    ended = watches.totals()["/#/test"]
    assert ended.updates == 32

    cell.subscribe(ignore)
    await trio.sleep(0.5)
    assert watches.totals()["/#/test"] == SourceTotals(updates=33)


def test_restart_delays_are_bounded() -> None:
    rng = random.Random(7)
    for failures in range(200):
        assert FIRST_DELAY / 2 <= restart_delay(failures, rng) <= MAX_DELAY
