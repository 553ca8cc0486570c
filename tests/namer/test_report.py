"""Reports: an answer and its problem as one value, and what follows it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from namer.cell import Cell
from namer.report import LOG_EVERY, Complaints, Follower, Report, Reporter


async def test_a_follower_has_the_age_and_the_error_of_what_it_follows(autojump_clock: MockClock) -> None:
    source: Cell[Report[int]] = Cell(Report(None))
    cell = Cell(0)
    complaints: list[tuple[str, bool]] = []
    reporter, follower = Reporter(source, lambda *told: complaints.append(told)), Follower(cell)
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
    assert complaints == [("refused", True)]

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


async def test_an_outage_is_logged_once_for_all(autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]) -> None:
    complaints = Complaints("consul localhost:8500")
    for number in range(100):
        complaints.complain(f"s{number}", "refused", known=True)
    await trio.sleep(LOG_EVERY)
    complaints.complain("again", "refused", known=False)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "consul localhost:8500" in lines[0]
    assert "s0" in lines[0]
    assert [("what was good before stays" in line) for line in lines] == [True, False]


async def test_a_source_that_comes_and_goes_is_logged_now_and_then(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    complaints = Complaints("consul localhost:8500")
    for _ in range(100):
        complaints.unanswered("refused")
        complaints.complain("s", "refused", known=True)
        await trio.sleep(0.1)
        complaints.answered()
    await trio.sleep(LOG_EVERY)
    complaints.answered()

    lines = capsys.readouterr().out.splitlines()
    assert [("does not answer" in line, "answers again" in line) for line in lines] == [(True, False), (False, True)]


async def test_a_long_outage_after_a_complaint_is_logged_all_the_same(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    complaints = Complaints("consul localhost:8500")
    complaints.complain("s", "403 Permission denied", known=False)
    for _ in range(20):
        complaints.unanswered("refused")
        await trio.sleep(1)
    complaints.answered()

    _, begun, ended = capsys.readouterr().out.splitlines()
    assert "does not answer" in begun
    assert "20.0 s" in ended
