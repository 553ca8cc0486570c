"""A delegation table that comes from outside and is followed: what holds when a new one, a bad one, or none arrives.

A table that does not parse, or a source that cannot be read, changes nothing but the error: the last good table stays.
While there has never been a good one, the state is a Failure that says why. A table that is removed leaves the last
good one, because one that is missing for a moment must not unbind every name.
"""

from __future__ import annotations

from typing import TypeAlias

import structlog

from namer.cell import Cell
from namer.dtab import Dtab
from namer.grammar import NameSyntaxError
from namer.namer import Failure, Pending

DtabState: TypeAlias = Pending | Failure | Dtab

log = structlog.get_logger(__name__)


def dtab_arrived(cell: Cell[DtabState], text: str, behind: Dtab, origin: str, now: float) -> None:
    """The source was read: its table with `behind` after it holds, if it parses. `origin` names the source."""
    try:
        table = parse_table(text, behind, cell.value)
    except NameSyntaxError as error:
        dtab_unusable(cell, place_of(error, origin), now)
    else:
        cell.set(table, now)


def parse_table(text: str, behind: Dtab, before: DtabState) -> Dtab:
    """The table of a text with `behind` after it, prepared for taking the place of `before`.

    Raises NameSyntaxError. Blocks, for a second when there are a hundred thousand dentries.
    """
    old = before if isinstance(before, Dtab) else Dtab.EMPTY
    return Dtab.parse(text).prepared(old) + behind


def place_of(error: NameSyntaxError, origin: str) -> str:
    """What is wrong with a text, and where in `origin`."""
    return f"{origin}:{error.line}:{error.column}: {error.message}"


def dtab_unusable(cell: Cell[DtabState], problem: str, now: float, retry_at: float | None = None) -> None:
    """The source has no usable table; `problem` names it and says why. It is logged once."""
    known = isinstance(cell.value, Dtab)
    if problem != cell.error:
        log.error(f"the dtab is not usable{'; what was good before stays' if known else ''}", problem=problem)
    if not known:
        cell.set(Failure(problem), now)
    cell.fail(problem, now, retry_at)
