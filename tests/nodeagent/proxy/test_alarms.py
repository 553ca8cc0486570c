"""Tasks that start at a given time unless they are called off."""

from __future__ import annotations

import structlog
import trio
from trio.testing import MockClock

from nodeagent.proxy.alarms import Alarms, Ring


class Bell:
    """Says what rang, and how many seconds after it was made."""

    def __init__(self) -> None:
        self.rang: list[tuple[str, float]] = []
        self._made_at = trio.current_time()

    def named(self, name: str) -> Ring:
        async def ring() -> None:
            self.rang.append((name, round(trio.current_time() - self._made_at, 3)))

        return ring


async def test_they_ring_at_their_time_in_whatever_order_they_were_set(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    bell, alarms, now = Bell(), Alarms(), trio.current_time()
    alarms.at(now + 3, bell.named("third"))
    nursery.start_soon(alarms.run)
    await trio.testing.wait_all_tasks_blocked()
    alarms.at(now + 1, bell.named("first"))
    alarms.at(now + 2, bell.named("second"))
    alarms.at(now + 2, bell.named("as well"))
    await trio.sleep(5)

    assert [time for _, time in bell.rang] == [1, 2, 2, 3]
    assert {name for name, _ in bell.rang} == {"first", "second", "as well", "third"}


async def test_one_that_is_in_the_past_rings_at_once(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    bell, alarms = Bell(), Alarms()
    nursery.start_soon(alarms.run)
    await trio.testing.wait_all_tasks_blocked()
    alarms.at(trio.current_time() - 1, bell.named("late"))
    await trio.sleep(0.1)

    assert bell.rang == [("late", 0)]


async def test_one_that_was_called_off_never_rings_and_others_do(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    bell, alarms, now = Bell(), Alarms(), trio.current_time()
    nursery.start_soon(alarms.run)
    early, late = (alarms.at(now + due, bell.named(name)) for due, name in ((1, "early"), (3, "late")))
    alarms.at(now + 2, bell.named("other"))
    early.call_off()
    await trio.sleep(2.5)
    late.call_off()
    late.call_off()
    await trio.sleep(2)

    assert bell.rang == [("other", 2)]
    assert (early.off, late.off) == (True, True)


async def test_what_fails_is_logged_and_nothing_else_suffers(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    bell, alarms, now = Bell(), Alarms(), trio.current_time()

    async def fail() -> None:
        raise RuntimeError("no")

    nursery.start_soon(alarms.run)
    alarms.at(now + 1, fail)
    alarms.at(now + 2, bell.named("after"))
    with structlog.testing.capture_logs() as logs:
        await trio.sleep(3)

    assert bell.rang == [("after", 2)]
    assert [entry["log_level"] for entry in logs] == ["error"]


async def test_the_owner_ends_what_it_started(autojump_clock: MockClock) -> None:
    alarms = Alarms()
    ended = []

    async def last() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(True)

    async with trio.open_nursery() as owner:
        owner.start_soon(alarms.run)
        alarms.at(trio.current_time() + 1, last)
        await trio.sleep(2)
        owner.cancel_scope.cancel()

    assert ended == [True]
