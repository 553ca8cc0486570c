"""Waiting until a name is known: for `explain`, the delegator and others who ask once.

What is bound or drawn from cells is not known while one of them is pending. It is computed again whenever a
cell changes, as a subscriber to them, so that somebody finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import trio

from namer.addr import Addr, AddrPending
from namer.cell import Cell
from namer.namer import Bound


class Settling(Protocol):
    """Something computed from cells: an Outcome, a Delegation, Addresses."""

    @property
    def pending(self) -> bool:
        """Whether some cell is not known yet."""
        ...

    @property
    def cells(self) -> tuple[Cell[Any], ...]:
        """The cells that it was computed from."""
        ...


Settled = TypeVar("Settled", bound=Settling)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of bound names, as cells."""

    cells: tuple[Cell[Addr], ...]

    @staticmethod
    def of(bounds: Sequence[Bound]) -> Addresses:
        """The addresses of these names."""
        return Addresses(tuple(bound.addr for bound in bounds))

    @property
    def pending(self) -> bool:
        """Whether some address is not known yet."""
        return any(isinstance(cell.value, AddrPending) for cell in self.cells)


async def settle(compute: Callable[[], Settled]) -> Settled:
    """The first result of `compute` that is not pending.

    It may take for ever: put a deadline around it, and compute once more after it for what is known by then.
    Cancelling is safe.
    """
    result = compute()
    while result.pending:
        changed = trio.Event()
        with subscribed(result.cells, changed.set):
            await changed.wait()
            result = compute()  # still subscribed, so that no source is let go in between
    return result


@contextmanager
def subscribed(cells: Sequence[Cell[Any]], callback: Callable[[], None]) -> Iterator[None]:
    """Have `callback` called when one of the cells changes, for as long as the block runs."""
    for cell in cells:
        cell.subscribe(callback)
    try:
        yield
    finally:
        for cell in cells:
            cell.unsubscribe(callback)
