"""What a source said last of something, together with what has gone wrong since.

Cells tell their subscribers of values, not of errors. Names and addresses are derived from one answer, and must show
its errors too; so the answer and its error are one value here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import structlog
import trio

from namer.cell import Cell

LOG_EVERY: Final = 10.0
"""Seconds between two complaints of one source."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Report(Generic[T]):
    """The last answer, None while there is none. `problem` is why it may no longer hold, asked again at `retry_at`."""

    answer: T | None
    problem: str | None = None
    retry_at: float | None = None


class Complaints:
    """Logs what goes wrong with one source, now and then: an outage concerns all of its names, and is one event."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._logged_at = -LOG_EVERY
        self._answers = False  # whether it ever did
        self._away_since: float | None = None
        self._away_logged = False

    def complain(self, name: str, problem: str, known: bool) -> None:
        """Log that `name` cannot be had as asked for, unless something else could not a moment ago.

        `known` is whether there is an earlier answer to go by. While the source does not answer, nothing is logged of
        its names.
        """
        if self._away_since is None and self._may_log():
            log.warning(f"no usable answer{_stays(known)}", of=self._source, name=name, problem=problem)

    def unanswered(self, problem: str) -> None:
        """The source does not answer, whoever asks. Logged once, until it answers again."""
        if self._away_since is None:
            self._away_since = trio.current_time()
        if not self._away_logged and self._may_log():
            self._away_logged = True
            log.warning(f"{self._source} does not answer{_stays(self._answers)}", problem=problem)

    def answered(self) -> None:
        """The source answers, whatever it says. Logged if it was logged that it did not."""
        if self._away_logged and self._away_since is not None:
            log.info(f"{self._source} answers again", after=f"{trio.current_time() - self._away_since:.1f} s")
        self._answers, self._away_since, self._away_logged = True, None, False

    def _may_log(self) -> bool:
        now = trio.current_time()
        due = now - self._logged_at >= LOG_EVERY
        if due:
            self._logged_at = now
        return due


def _stays(known: bool) -> str:
    return "; what was good before stays" if known else ""


class Reporter(Generic[T]):
    """Keeps a cell of reports, and complains of the first of a row of problems."""

    def __init__(self, cell: Cell[Report[T]], complain: Callable[[str, bool], None]) -> None:
        """`complain` is told the problem, and whether there is an answer to go by all the same."""
        self._cell = cell
        self._complain = complain

    @property
    def answer(self) -> T | None:
        """The last answer that was given."""
        return self._cell.value.answer

    def holds(self, answer: T) -> None:
        """This is how it is."""
        self._cell.set(Report(answer), trio.current_time())

    def doubtful(self, answer: T | None, problem: str, retry_at: float) -> None:
        """This is what is left to go by."""
        if self._cell.error is None:
            self._complain(problem, answer is not None)
        self._cell.fail(problem, trio.current_time(), retry_at)
        self._cell.replace(Report(answer, problem, retry_at))


class Follower(Generic[T]):
    """Keeps a cell equal to something that is computed from a report, with the age and the error of that."""

    def __init__(self, cell: Cell[T]) -> None:
        self._cell = cell
        self._told = cell.value

    def tell(self, value: T, source: Cell[Report[Any]], flaw: str | None = None) -> None:
        """It is `value` by the report of `source`; a `flaw` is what is wrong with it even if the source is right."""
        report = source.value
        first = self._cell.updated_at is None and report.answer is not None
        if source.updated_at is not None and (first or report.problem is None):
            self._cell.set(value, source.updated_at, flaw)
        elif value != self._told:
            self._cell.replace(value)
        if report.problem is not None:
            failed_at = trio.current_time() if source.failed_at is None else source.failed_at
            self._cell.fail(report.problem, failed_at, report.retry_at)
            if self._cell.updated_at is not None:
                self._cell.stale_since = source.stale_since
        self._told = value
