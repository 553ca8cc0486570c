"""What Consul said last of something, together with what has gone wrong since.

Cells tell their subscribers of values, not of errors. Names and addresses are derived from one answer, and must show
its errors too; so the answer and its error are one value here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import trio

from namer.cell import Cell

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Report(Generic[T]):
    """The last answer, None while there is none. `problem` is why it may no longer hold, asked again at `retry_at`."""

    answer: T | None
    problem: str | None = None
    retry_at: float | None = None


class Reporter(Generic[T]):
    """Keeps a cell of reports, and complains of the first of a row of problems."""

    def __init__(self, cell: Cell[Report[T]], complain: Callable[[str], None]) -> None:
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
            self._complain(problem)
        self._cell.fail(problem, trio.current_time(), retry_at)
        self._cell.replace(Report(answer, problem, retry_at))


class Follower(Generic[T]):
    """Keeps a cell equal to something that is computed from a report, with the age and the error of that."""

    def __init__(self, cell: Cell[T]) -> None:
        self._cell = cell
        self._told = cell.value

    def tell(self, value: T, source: Cell[Report[Any]], flaw: str | None = None) -> None:
        """It is `value` by the report of `source`; a `flaw` is what is wrong with it even if Consul is right."""
        report = source.value
        first = self._cell.updated_at is None and report.answer is not None
        if source.updated_at is not None and (first or report.problem is None):
            self._cell.set(value, source.updated_at, flaw)
        elif value != self._told:
            self._cell.replace(value)
        if report.problem is not None:
            self._cell.fail(report.problem, source.stale_since or trio.current_time(), report.retry_at)
        self._told = value
