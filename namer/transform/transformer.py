"""What a transformer is, and how it is put around a namer or around all that a router names by.

A transformer takes the bound names that a namer answers with, and answers with others. What it bound has an id of its
own, `/%/` with the transformer's kind and then the id it had, so that policies, metrics and explanations tell the two
apart. The rules are linkerd 1.x's (`io.buoyant.namer.NameTreeTransformer`): an answer that has names in it that are
still to be bound passes unchanged, as does "not known yet" or an error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeAlias, cast

from namer.binding import Namers
from namer.cell import Cell
from namer.derived import Derived
from namer.namer import Bound, ConstantNamer, Failure, Namer, NameState, Pending
from namer.nametree import NEG, Alt, Empty, Fail, Leaf, NameTree, Neg, Union, Weighted
from namer.path import Path

PREFIX = Path(("%",))
"""What the ids of transformed names begin with."""

Unbound: TypeAlias = Neg | Empty | Fail


class Transformer(Protocol):
    """Turns the answers of a namer into others. Pure: what changes is in the cells of the answer."""

    def bound(self, bound: Bound) -> NameTree[Bound]:
        """What a bound name becomes."""
        ...

    def unbound(self, tree: Unbound) -> NameTree[Bound]:
        """What becomes of an answer that binds nothing."""
        ...


class TransformedNamer:
    """A namer whose answers a transformer changes."""

    def __init__(self, namer: Namer, transformer: Transformer) -> None:
        self._namer = namer
        self._transform = partial(transform, transformer)

    def lookup(self, path: Path) -> Cell[NameState]:
        """The transformed answer, live as the namer's own."""
        return Derived(self._transform, self._namer.lookup(path))


def transformed(namer: Namer, transformers: Sequence[Transformer]) -> Namer:
    """A namer behind transformers; the first of them comes first."""
    for transformer in transformers:
        namer = TransformedNamer(namer, transformer)
    return namer


def transformed_namers(
    configured: Sequence[tuple[Path, Namer]],
    builtin: Mapping[str, Namer],
    transformers: Sequence[Transformer],
    given: Collection[Path] = (),
) -> Namers:
    """The namers of a router whose interpreter has transformers: whatever is bound went through them.

    A transformer that binds what nobody knows (`io.l5d.const`) does so for every path that no dentry rewrites.
    """
    unknown = transformed(ConstantNamer(NEG), transformers)
    catch_all = [] if unknown.lookup(Path()).value == NEG else [(Path(), unknown)]
    return Namers(
        [*catch_all, *((prefix, transformed(namer, transformers)) for prefix, namer in configured)],
        {label: transformed(namer, transformers) for label, namer in builtin.items()},
        given,
    )


def transform(transformer: Transformer, state: NameState) -> NameState:
    """What a transformer makes of an answer."""
    if isinstance(state, (Pending, Failure)) or not _is_bound(state):
        return state
    return _transform(transformer, cast("NameTree[Bound]", state))


def _transform(transformer: Transformer, tree: NameTree[Bound]) -> NameTree[Bound]:
    match tree:
        case Leaf(bound):
            return transformer.bound(bound)
        case Alt(trees):
            return Alt(tuple(_transform(transformer, each) for each in trees))
        case Union(branches):
            return Union(tuple(Weighted(each.weight, _transform(transformer, each.tree)) for each in branches))
        case Neg() | Empty() | Fail():
            return transformer.unbound(tree)


def _is_bound(tree: NameTree[Path | Bound]) -> bool:
    match tree:
        case Leaf(value):
            return isinstance(value, Bound)
        case Alt(trees):
            return all(map(_is_bound, trees))
        case Union(branches):
            return all(_is_bound(each.tree) for each in branches)
        case Neg() | Empty() | Fail():
            return True
