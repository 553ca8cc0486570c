"""A cell whose value is computed from those of other cells: live while somebody subscribes to it.

It subscribes to its sources only while it has subscribers itself, so a source that is live for its sake alone ends
soon after the last of them left. With nobody there its value is that of the last time somebody was, or of when it was
made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from namer.cell import Cell

OF_THE_SOURCE: Final = ("updated_at", "error", "failed_at", "failures", "retry_at", "stale_since")

T = TypeVar("T")


class Derived(Cell[T]):
    """`compute` of the values of `sources`. Its age and errors are those of a source that has failed, or the first's.

    Nobody but itself sets it.
    """

    __slots__ = ("_compute", "_sources")

    def __init__(self, compute: Callable[..., T], *sources: Cell[Any]) -> None:
        self._compute = compute
        self._sources = sources
        super().__init__(self._computed())
        for name in OF_THE_SOURCE:
            delattr(self, name)

    def __getattr__(self, name: str) -> Any:
        """What is of the source, since it is not here."""
        failed = (source for source in self._sources if source.error is not None)
        return getattr(next(failed, self._sources[0]), name)

    def subscribe(self, callback: Callable[[], None]) -> None:
        """As of any cell; the first subscriber is called at once when the sources have changed meanwhile."""
        super().subscribe(callback)
        if self.subscribers == 1:
            for source in self._sources:
                source.subscribe(self._refresh)
            self._refresh()

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """As of any cell; the last one to leave lets go of the sources."""
        super().unsubscribe(callback)
        if self.subscribers == 0:
            for source in self._sources:
                source.unsubscribe(self._refresh)

    def _refresh(self) -> None:
        value = self._computed()
        if value != self.value:
            self.replace(value)

    def _computed(self) -> T:
        return self._compute(*(source.value for source in self._sources))
