"""A text from outside that means something and is followed: what holds when a new one, a bad one, or none arrives.

A text that means nothing, or a source that cannot be read, changes nothing but the error: the last good one stays.
While there has never been a good one, the state is a Failure that says why. One that is removed leaves the last good
one, because what is missing for a moment must not take away what stands on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import structlog

from namer.cell import Cell
from namer.namer import Failure, Pending
from namer.watch import WatchKey

T = TypeVar("T")

Followed: TypeAlias = Pending | Failure | T
"""Not there yet, why it is not, or what the last good text means."""

log = structlog.get_logger(__name__)


class UnusableError(ValueError):
    """A text means nothing; says where in which source, and why."""


@dataclass(frozen=True, slots=True)
class Document(Generic[T]):
    """What texts of one kind mean.

    `what` is the kind, in logs and in the state of the watches. `read` takes a text, what to call its source, and what
    holds now, None for nothing; it may block, and raises UnusableError. `apart` tells this document from others of the
    same source. A longer text than `max_bytes` need not be read to its end; `read` refuses it.
    """

    what: str
    read: Callable[[str, str, T | None], T]
    max_bytes: int
    apart: str = ""

    def key(self, source: str, place: str) -> WatchKey:
        """Which watch it is; `source` says whose, in the state of the watches."""
        return WatchKey(source, self.what, place + self.apart)

    def arrived(self, cell: Cell[Followed[T]], text: str, origin: str, now: float) -> None:
        """The source was read: its text holds, if it means something. `origin` names the source."""
        try:
            value = self.read(text, origin, known(cell.value))
        except UnusableError as error:
            self.unusable(cell, str(error), now)
        else:
            cell.set(value, now)

    def unusable(self, cell: Cell[Followed[T]], problem: str, now: float, retry_at: float | None = None) -> None:
        """The source has no usable text; `problem` names it and says why. It is logged once."""
        there = known(cell.value) is not None
        if problem != cell.error:
            stays = "; what was good before stays" if there else ""
            log.error(f"the {self.what} cannot be used{stays}", problem=problem)
        if not there:
            cell.set(Failure(problem), now)
        cell.fail(problem, now, retry_at)


def known(value: Followed[T]) -> T | None:
    """Return what holds, None while nothing does."""
    return None if isinstance(value, Pending | Failure) else value
