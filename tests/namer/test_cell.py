import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from namer.cell import Cell


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


def test_only_a_new_value_is_told() -> None:
    cell, heard = Cell("a"), Counter()
    cell.subscribe(heard)

    cell.set("a", now=1.0)
    assert (cell.value, cell.version, cell.updated_at, heard.calls) == ("a", 0, 1.0, 0)

    cell.set("b", now=2.0)
    assert (cell.value, cell.version, cell.updated_at, heard.calls) == ("b", 1, 2.0, 1)


def test_an_error_keeps_the_last_good_value() -> None:
    cell, heard = Cell("a"), Counter()
    cell.set("b", now=1.0)
    cell.subscribe(heard)

    cell.fail("broken", now=2.0)
    assert (cell.value, cell.error, cell.failed_at, cell.updated_at) == ("b", "broken", 2.0, 1.0)
    assert (cell.failures, heard.calls) == (1, 0)

    cell.set("b", now=3.0)
    assert (cell.error, cell.failed_at, cell.updated_at) == (None, None, 3.0)


def test_who_left_hears_nothing() -> None:
    cell, heard = Cell("a"), Counter()
    cell.subscribe(heard)
    cell.unsubscribe(heard)

    cell.set("b", now=1.0)

    assert heard.calls == 0
    with pytest.raises(KeyError):
        cell.unsubscribe(heard)


def test_who_subscribes_twice_is_called_once_and_leaves_twice() -> None:
    cell, heard = Cell(0), Counter()
    cell.subscribe(heard)
    cell.subscribe(heard)

    cell.set(1, now=1.0)
    assert heard.calls == 1

    cell.unsubscribe(heard)
    cell.set(2, now=2.0)
    assert heard.calls == 2

    cell.unsubscribe(heard)
    cell.set(3, now=3.0)
    assert heard.calls == 2
    assert cell.subscribers == 0


def test_subscribers_may_come_and_go_while_they_are_called() -> None:
    cell, late = Cell(0), Counter()

    def leave_and_let_in() -> None:
        cell.unsubscribe(leave_and_let_in)
        cell.unsubscribe(never_called)
        cell.subscribe(late)

    never_called = Counter()
    cell.subscribe(leave_and_let_in)
    cell.subscribe(never_called)

    cell.set(1, now=1.0)

    assert (never_called.calls, late.calls, cell.subscribers) == (0, 0, 1)


def test_interest_is_told_with_the_first_and_the_last() -> None:
    heard: list[int] = []
    cell = Cell("a", interest=lambda cell: heard.append(cell.subscribers))
    one, two = Counter(), Counter()

    cell.subscribe(one)
    cell.subscribe(two)
    cell.unsubscribe(one)
    cell.unsubscribe(two)
    cell.subscribe(one)

    assert heard == [1, 0, 1]


def test_forgetting() -> None:
    cell = Cell("unknown")
    cell.set("a", now=1.0)
    cell.fail("broken", now=2.0)

    cell.forget("unknown")

    assert (cell.value, cell.updated_at, cell.error, cell.failures, cell.version) == ("unknown", None, None, 0, 2)


async def test_waiting_for_a_change(autojump_clock: MockClock) -> None:
    cell = Cell("a")
    seen: list[tuple[float, str]] = []

    async def follow() -> None:
        version = cell.version
        while len(seen) < 2:
            await cell.wait_changed(version)
            seen.append((trio.current_time(), cell.value))
            version = cell.version

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await trio.sleep(1)
        cell.set("b", trio.current_time())
        await trio.sleep(1)
        cell.set("b", trio.current_time())
        await trio.sleep(1)
        cell.set("c", trio.current_time())

    assert seen == [(1.0, "b"), (3.0, "c")]
    assert cell.subscribers == 0


async def test_waiting_for_what_has_changed_already_is_over_at_once() -> None:
    cell = Cell("a")
    cell.set("b", now=0.0)

    await cell.wait_changed(version=0)


async def test_waiting_counts_as_interest_and_cancelling_ends_it() -> None:
    cell = Cell("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cell.wait_changed, cell.version)
        await wait_all_tasks_blocked()
        assert cell.subscribers == 1
        nursery.cancel_scope.cancel()

    assert cell.subscribers == 0


def test_a_cell_shows_its_state() -> None:
    cell = Cell.constant("a")
    assert repr(cell) == "<Cell 'a' version=0 subscribers=0>"

    cell.fail("broken", now=1.0)
    assert repr(cell) == "<Cell 'a' version=0 subscribers=0 error='broken'>"


def test_a_value_is_stale_from_the_first_failure_until_it_is_confirmed() -> None:
    cell = Cell("a")
    cell.fail("broken", now=1.0)
    ages = [cell.stale_since]
    cell.set("b", now=2.0)
    cell.fail("broken", now=5.0)
    cell.fail("broken again", now=6.0)
    ages.append(cell.stale_since)
    cell.set("b", now=7.0)
    ages.append(cell.stale_since)

    assert ages == [None, 5.0, None], "before the first answer there is nothing that could be stale"


def test_a_flaw_is_an_error_of_a_fresh_value() -> None:
    cell = Cell("a")
    cell.set("b", now=2.0, flaw="line 2")
    assert (cell.value, cell.error, cell.failed_at, cell.failures, cell.stale_since) == ("b", "line 2", 2.0, 1, None)


def test_a_value_that_is_replaced_is_not_confirmed() -> None:
    cell, heard = Cell("a"), Counter()
    cell.set("b", now=1.0)
    cell.fail("broken", now=2.0)
    cell.subscribe(heard)

    cell.replace("c")
    cell.replace("c")

    assert (cell.value, cell.version, heard.calls) == ("c", 2, 1)
    assert (cell.updated_at, cell.error, cell.stale_since) == (1.0, "broken", 2.0)
