"""How two dtabs differ, by their dentries and their order; spacing and comments are no difference. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from namer.dtab import Dentry, Dtab


@dataclass(frozen=True, slots=True)
class Placed:
    """A dentry and its place in its table, from 1."""

    position: int
    dentry: Dentry


@dataclass(frozen=True, slots=True)
class Moved:
    """A dentry that both tables have, at another place between the others."""

    before: int
    after: int
    dentry: Dentry


@dataclass(frozen=True, slots=True)
class DtabDiff:
    """What makes one table of another. The order counts, since later dentries go first."""

    removed: tuple[Placed, ...]
    added: tuple[Placed, ...]
    moved: tuple[Moved, ...]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.moved)


def diff(old: Dtab, new: Dtab) -> DtabDiff:
    """How `new` differs from `old`, with as few moves as possible. n log n, n the dentries."""
    before, after = _numbered(old), _numbered(new)
    kept = [(before[each], position, each[0]) for each, position in after.items() if each in before]
    still = _longest_rising([place for place, _, _ in kept])
    return DtabDiff(
        removed=tuple(Placed(position, each[0]) for each, position in before.items() if each not in after),
        added=tuple(Placed(position, each[0]) for each, position in after.items() if each not in before),
        moved=tuple(Moved(*each) for index, each in enumerate(kept) if index not in still),
    )


def _numbered(dtab: Dtab) -> dict[tuple[Dentry, int], int]:
    """The place of each dentry; those that are there more than once are counted."""
    times: Counter[Dentry] = Counter()
    places = {}
    for position, dentry in enumerate(dtab.dentries, 1):
        places[dentry, times[dentry]] = position
        times[dentry] += 1
    return places


def _longest_rising(numbers: Sequence[int]) -> frozenset[int]:
    """The indices of a longest subsequence that rises; by patience sorting."""
    tops: list[int] = []  # of the rising runs of each length the least last number,
    indices: list[int] = []  # and where it is
    previous: list[int | None] = []
    for index, number in enumerate(numbers):
        length = bisect_left(tops, number)
        tops[length : length + 1] = [number]
        indices[length : length + 1] = [index]
        previous.append(indices[length - 1] if length else None)
    rising = []
    at = indices[-1] if indices else None
    while at is not None:
        rising.append(at)
        at = previous[at]
    return frozenset(rising)
