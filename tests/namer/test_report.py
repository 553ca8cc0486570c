"""Reports: an answer and its problem as one value, and what follows it."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from namer.cell import Cell
from namer.report import Follower, Report, Reporter


async def test_a_follower_has_the_age_and_the_error_of_what_it_follows(autojump_clock: MockClock) -> None:
    source: Cell[Report[int]] = Cell(Report(None))
    cell = Cell(0)
    complaints: list[str] = []
    reporter, follower = Reporter(source, complaints.append), Follower(cell)
    source.subscribe(lambda: follower.tell((source.value.answer or 0) * 10, source))

    await trio.sleep(1)
    reporter.holds(4)
    await trio.sleep(1)
    reporter.doubtful(4, "refused", 9.0)
    await trio.sleep(1)
    reporter.doubtful(4, "refused", 11.0)
    start = source.updated_at or 0.0

    assert (cell.value, cell.updated_at, cell.stale_since) == (40, start, start + 1)
    assert (cell.error, cell.retry_at, cell.failures) == ("refused", 11.0, 2)
    assert complaints == ["refused"]

    reporter.holds(5)
    assert (cell.value, cell.error, cell.stale_since) == (50, None, None)


async def test_what_was_withdrawn_stays_so_while_nothing_new_is_known() -> None:
    source: Cell[Report[int]] = Cell(Report(None))
    cell = Cell(0)
    reporter, follower = Reporter(source, print), Follower(cell)
    source.subscribe(lambda: follower.tell(source.value.answer or 0, source))
    reporter.holds(4)
    cell.replace(-1)
    reporter.doubtful(4, "refused", 9.0)

    assert cell.value == -1


async def test_without_an_answer_there_is_no_age() -> None:
    source: Cell[Report[int]] = Cell(Report(None))
    cell = Cell(0)
    follower = Follower(cell)
    Reporter(source, print).doubtful(None, "refused", 9.0)
    follower.tell(-1, source)

    assert (cell.value, cell.updated_at, cell.error) == (-1, None, "refused")
