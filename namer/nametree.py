"""Name trees: how the answers to one name combine.

    Leaf    one answer
    Alt     alternatives: the first that is not Neg
    Union   all of them at once, each with a weight
    Neg     there is nothing here, look further
    Empty   it exists, and nobody is there: do not look further
    Fail    stop: an Alt around it fails as a whole

The algebra is finagle's (`com.twitter.finagle.NameTree`): a Union leaves out what is Neg or Fail, so a Fail
inside a Union only takes away that branch; an Empty branch keeps its weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Generic, TypeAlias, TypeVar

T = TypeVar("T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Leaf(Generic[T_co]):
    """One answer."""

    value: T_co


@dataclass(frozen=True, slots=True)
class Alt(Generic[T_co]):
    """Alternatives, best first."""

    trees: tuple[NameTree[T_co], ...]


@dataclass(frozen=True, slots=True)
class Weighted(Generic[T_co]):
    """A branch of a Union. The weight is relative to its siblings', and not negative."""

    weight: float
    tree: NameTree[T_co]


@dataclass(frozen=True, slots=True)
class Union(Generic[T_co]):
    """All branches at once, in proportion to their weights."""

    branches: tuple[Weighted[T_co], ...]


@dataclass(frozen=True, slots=True)
class Neg:
    """Nothing here; written `~`."""


@dataclass(frozen=True, slots=True)
class Empty:
    """Here, and uninhabited; written `$`."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Stop looking; written `!`."""


NEG: Final = Neg()
EMPTY: Final = Empty()
FAIL: Final = Fail()

NameTree: TypeAlias = Leaf[T_co] | Alt[T_co] | Union[T_co] | Neg | Empty | Fail


def map_leaves(function: Callable[[T], U], tree: NameTree[T]) -> NameTree[U]:
    """The same tree with `function` applied to the value of each leaf."""
    match tree:
        case Leaf(value):
            return Leaf(function(value))
        case Alt(trees):
            return Alt(tuple(map_leaves(function, each) for each in trees))
        case Union(branches):
            return Union(tuple(Weighted(each.weight, map_leaves(function, each.tree)) for each in branches))
        case Neg() | Empty() | Fail():
            return tree


def alt_of(trees: Iterable[NameTree[T]]) -> NameTree[T]:
    """The simplest tree equal to the Alt of these simple trees."""
    kept: list[NameTree[T]] = []
    for tree in trees:
        if not isinstance(tree, Neg):
            kept.append(tree)
        if isinstance(tree, Fail):
            break  # nothing behind a Fail is ever reached
    match kept:
        case []:
            return NEG
        case [only]:
            return only
        case _:
            return Alt(tuple(kept))


def union_of(branches: Iterable[Weighted[T]]) -> NameTree[T]:
    """The simplest tree equal to the Union of these simple branches; a lone survivor loses its weight."""
    kept = [branch for branch in branches if not isinstance(branch.tree, (Neg, Fail))]
    if not kept:
        return NEG
    if len(kept) == 1 or all(isinstance(branch.tree, Empty) for branch in kept):
        return kept[0].tree
    return Union(tuple(kept))


def simplify(tree: NameTree[T]) -> NameTree[T]:
    """A tree that evaluates alike, without the branches that never matter. Doing it twice changes nothing."""
    match tree:
        case Alt(trees):
            return alt_of(simplify(each) for each in trees)
        case Union(branches):
            return union_of(Weighted(each.weight, simplify(each.tree)) for each in branches)
        case _:
            return tree


def evaluate(tree: NameTree[T]) -> frozenset[T] | None:
    """The leaves that are in use; None when the tree is Neg or Fail, the empty set when it is Empty."""
    meaning = _evaluate(tree)
    return meaning if isinstance(meaning, frozenset) else None


def _evaluate(tree: NameTree[T]) -> frozenset[T] | Neg | Fail:
    match tree:
        case Leaf(value):
            return frozenset([value])
        case Empty():
            return frozenset()
        case Neg() | Fail():
            return tree
        case Alt(trees):
            meanings = (_evaluate(each) for each in trees)
            return next((each for each in meanings if not isinstance(each, Neg)), NEG)
        case Union(branches):
            parts = [_evaluate(branch.tree) for branch in branches]
            sets = [each for each in parts if isinstance(each, frozenset)]
            return frozenset[T]().union(*sets) if sets else NEG


def show(tree: NameTree[T]) -> str:
    """The tree as written: `9 * /a & 1 * /b | $`. A leaf is written as `str` writes its value.

    A tree as the grammar builds it (no Alt or Union of fewer than two) is read back the same.
    """
    match tree:
        case Leaf(value):
            return str(value)
        case Alt(trees):
            return " | ".join(_inside(each, Alt) for each in trees) or "~"
        case Union((only,)):
            return show(only.tree)
        case Union(branches):
            return " & ".join(_show_branch(each) for each in branches) or "~"
        case Neg():
            return "~"
        case Empty():
            return "$"
        case Fail():
            return "!"


def _show_branch(branch: Weighted[T]) -> str:
    shown = _inside(branch.tree, Alt, Union)
    return shown if branch.weight == 1.0 else f"{show_weight(branch.weight)} * {shown}"


def _inside(tree: NameTree[T], *looser: type) -> str:
    return f"({show(tree)})" if isinstance(tree, looser) else show(tree)


def show_weight(weight: float) -> str:
    """A weight in plain digits, exactly: the grammar knows no exponents."""
    return f"{Decimal(repr(weight)):f}".removesuffix(".0")
