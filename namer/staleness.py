"""How old an answer may get while its source fails, and what becomes of it then. Pure.

    stale     its source has begun to fail and has not answered since
    overdue   stale for longer than its bound, which the log, the metrics and the pages say. By `flag` it is used on,
              by `refuse` it is withdrawn too: an address becomes AddrFailed, a name a Failure, until the source
              answers again

An answer is stale from the moment its source begins to fail, as RFC 8767 has it for the DNS (its maximum stale timer
starts when the TTL is over): a file that did not change since yesterday, or a watch that had nothing to tell for
an hour, was right until then. What is of another type than addresses and names is never withdrawn: it is the
raw material of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from namer.addr import Addr, AddrFailed, AddrPending
from namer.cell import Cell
from namer.namer import Failure, NameState, Pending


@dataclass(frozen=True, slots=True)
class StaleLimit:
    """The bound of one source, in seconds, and whether an answer beyond it is withdrawn."""

    seconds: float
    refuse: bool = False


def is_failure(value: object) -> bool:
    """Whether a value says only that there is no answer."""
    return isinstance(value, AddrFailed | Failure)


def stale_since(cell: Cell[Any], withdrawn_since: float | None) -> float | None:
    """When the source of a cell began to fail, with an answer there; None while it does not, or never answered.

    A failure that a feed sets as a value is no answer: one that was withdrawn, when it had been stale since
    `withdrawn_since`, is so until there is a real one.
    """
    return withdrawn_since if is_failure(cell.value) else cell.stale_since


def withdrawn(initial: object, reason: str) -> Addr | NameState | None:
    """What stands in place of an answer that is refused, for a cell that began as `initial`; None to leave it."""
    match initial:
        case AddrPending():
            return AddrFailed(reason)
        case Pending():
            return Failure(reason)
        case _:
            return None


def reason(cell: Cell[Any], since: float, limit: StaleLimit, now: float) -> str:
    """Why an answer is withdrawn, for people."""
    confirmed = "" if cell.updated_at is None else f"last confirmed {now - cell.updated_at:.0f} s ago, "
    return f"stale: {confirmed}failing for {now - since:.0f} s, maxStaleSecs is {limit.seconds:g}: {cell.error}"
