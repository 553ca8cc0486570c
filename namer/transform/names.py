"""Transformers of names: bound ones become one other name.

`replace` puts it in the place of each name that is bound, and leaves alone what is not: a namer then only tells
whether a name exists. `const` puts it everywhere. As in linkerd 1.x the other name is bound by the built-in namers
under `/$/` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from namer.binding import Namers, bind
from namer.dtab import Dtab
from namer.namer import Bound, Failure, Namer, Pending
from namer.nametree import NEG, Leaf, NameTree, map_leaves
from namer.path import Path
from namer.transform.transformer import PREFIX, Unbound


class Replace:
    """Puts one name in the place of every bound one."""

    def __init__(self, prefix: Path, path: Path, builtin: Mapping[str, Namer]) -> None:
        """Raises ValueError when `path` cannot be bound by the built-in namers."""
        self._tree = _bind(prefix, path, builtin)

    def bound(self, bound: Bound) -> NameTree[Bound]:  # noqa: ARG002
        """The one name."""
        return self._tree

    def unbound(self, tree: Unbound) -> NameTree[Bound]:
        """As it was."""
        return tree


class Const:
    """Puts one name in the place of every answer."""

    def __init__(self, prefix: Path, path: Path, builtin: Mapping[str, Namer]) -> None:
        """Raises ValueError when `path` cannot be bound by the built-in namers."""
        self._tree = _bind(prefix, path, builtin)

    def bound(self, bound: Bound) -> NameTree[Bound]:  # noqa: ARG002
        """The one name."""
        return self._tree

    def unbound(self, tree: Unbound) -> NameTree[Bound]:  # noqa: ARG002
        """The one name too."""
        return self._tree


def _bind(prefix: Path, path: Path, builtin: Mapping[str, Namer]) -> NameTree[Bound]:
    state = bind(path, Dtab.EMPTY, Namers((), builtin, given=(path,))).state
    if isinstance(state, (Pending, Failure)):
        why = state.reason if isinstance(state, Failure) else "it is not known at once"
        raise ValueError(f"{path} cannot be bound: {why}")
    if state == NEG:
        raise ValueError(f"{path} is no name; expected one such as /$/inet/127.0.0.1/4141")
    return map_leaves(lambda bound: replace(bound, id=PREFIX + prefix + path), state)


class Numbered:
    """Marks what one of several namers with the same prefix bound, so that it is not taken for another's."""

    def __init__(self, number: int) -> None:
        self._number = number

    def bound(self, bound: Bound) -> NameTree[Bound]:
        """The same name, marked."""
        return Leaf(replace(bound, twin=self._number))

    def unbound(self, tree: Unbound) -> NameTree[Bound]:
        """The same."""
        return tree
