"""The delegation table (dtab): rules that rewrite names, `/svc => /#/io.l5d.fs ; /svc/web => /svc/web-v2`.

A rule (dentry) rewrites the paths that begin with its prefix; an element `*` of the prefix stands for any
one label. The matched part is dropped and the rest, the residual, is put behind each leaf of the rule's tree.
Later rules go before earlier ones; a longer prefix has no priority. The semantics are finagle's
(`com.twitter.finagle.Dtab`).

A lookup walks a trie over the prefixes, so its cost depends on the path and the rules that match, not on how
many rules there are. Tables that are added share their tries: to override one rule does not index all again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeAlias

from namer.nametree import NEG, Alt, NameTree, map_leaves
from namer.nametree import show as show_tree
from namer.path import Path, show_label


class AnyLabel:
    """The element `*` of a prefix: any one label. There is one, `ANY`, and it is compared by identity."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = AnyLabel()
Element: TypeAlias = str | AnyLabel


@dataclass(frozen=True, slots=True)
class Prefix:
    """What the paths that a dentry rewrites begin with."""

    elements: tuple[Element, ...] = ()

    def show(self) -> str:
        """The prefix as written."""
        return "/" + "/".join("*" if isinstance(each, AnyLabel) else show_label(each) for each in self.elements)

    def __str__(self) -> str:
        return self.show()

    def __len__(self) -> int:
        return len(self.elements)


@dataclass(frozen=True, slots=True)
class Dentry:
    """One rule: what begins with `prefix` goes to `dst`."""

    prefix: Prefix
    dst: NameTree[Path]

    def residual(self, path: Path) -> Path:
        """What is left of a path that this rule matches."""
        return path[len(self.prefix) :]

    def rewrite(self, path: Path) -> NameTree[Path]:
        """The tree that a path which this rule matches goes to."""
        residual = self.residual(path)
        return map_leaves(lambda leaf: leaf + residual, self.dst)

    def show(self) -> str:
        """The rule as written: `/svc => /#/io.l5d.fs`."""
        return f"{self.prefix.show()} => {show_tree(self.dst)}"

    def __str__(self) -> str:
        return self.show()


@dataclass(frozen=True, slots=True)
class Dtab:
    """An ordered table of dentries. Values are compared, and hashed, by their dentries."""

    EMPTY: ClassVar[Dtab]

    dentries: tuple[Dentry, ...] = ()
    _layers: tuple[_Layer, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_layers", (_Layer(self.dentries),))

    @staticmethod
    def parse(text: str) -> Dtab:
        """Read a written table; `#` begins a comment. Raises NameSyntaxError, with line and column."""
        from namer import grammar  # the grammar imports the values it builds, so it cannot be imported above

        return grammar.parse_dtab(text)

    def show(self) -> str:
        """The table as written, on one line."""
        return " ; ".join(dentry.show() for dentry in self.dentries)

    def __str__(self) -> str:
        return self.show()

    def __len__(self) -> int:
        return len(self.dentries)

    def __add__(self, other: Dtab) -> Dtab:
        """This table with the rules of `other` after, so before, its own."""
        if not other.dentries:
            return self
        if not self.dentries:
            return other
        joined = Dtab(self.dentries + other.dentries)
        object.__setattr__(joined, "_layers", self._layers + other._layers)
        return joined

    def prepared(self, before: Dtab) -> Dtab:
        """This table, indexed, and made of the dentries of `before` where they are equal to its own.

        Then to look a name up, to compare the two and to let go of the old one takes no time, however long they are.
        To prepare it does: do it in a worker thread.
        """
        known = {dentry: dentry for dentry in before.dentries}
        table = Dtab(tuple([known.get(dentry, dentry) for dentry in self.dentries]))
        for layer in table._layers:
            layer.index()
        return table

    def matches(self, path: Path) -> Iterator[Dentry]:
        """The dentries that match, the last of the table first; found one by one, as they are asked for."""
        for layer in reversed(self._layers):
            yield from layer.matches(path)

    def lookup(self, path: Path) -> NameTree[Path]:
        """Where the table sends a path: the tree of the dentry that matches, an Alt of several, or Neg."""
        trees = tuple(dentry.rewrite(path) for dentry in self.matches(path))
        if len(trees) > 1:
            return Alt(trees)
        return trees[0] if trees else NEG


class _Node:
    """A point of the trie: the positions of the dentries whose prefix ends here, and the ways on."""

    __slots__ = ("children", "positions")

    def __init__(self) -> None:
        self.children: dict[Element, _Node] | None = None
        self.positions: list[int] | None = None

    def child(self, element: Element) -> _Node:
        """The next point on the way of a prefix, made if it is not there yet."""
        if self.children is None:
            self.children = {}
        found = self.children.get(element)
        if found is None:
            found = self.children[element] = _Node()
        return found

    def end(self, position: int) -> None:
        """Note that the prefix of the dentry at `position` ends here."""
        if self.positions is None:
            self.positions = []
        self.positions.append(position)


_DEAD_END: Final[dict[Element, _Node]] = {}


class _Layer:
    """Dentries with their trie, which is built when it is first needed, unless that was done before."""

    __slots__ = ("_dentries", "_root")

    def __init__(self, dentries: tuple[Dentry, ...]) -> None:
        self._dentries = dentries
        self._root: _Node | None = None

    def index(self) -> _Node:
        if self._root is None:
            self._root = _trie(self._dentries)
        return self._root

    def matches(self, path: Path) -> Iterator[Dentry]:
        for position in heapq.merge(*_positions(self.index(), path), reverse=True):
            yield self._dentries[position]


def _trie(dentries: tuple[Dentry, ...]) -> _Node:
    root = _Node()
    for position in reversed(range(len(dentries))):
        node = root
        for element in dentries[position].prefix.elements:
            node = node.child(element)
        node.end(position)
    return root


def _positions(root: _Node, path: Path) -> Iterator[list[int]]:
    """The position lists, each falling, of all prefixes of `path`."""
    nodes = [root]
    if root.positions is not None:
        yield root.positions
    for label in path.labels:
        ways = [node.children or _DEAD_END for node in nodes]
        nodes = [way[element] for way in ways for element in (label, ANY) if element in way]
        if not nodes:
            return
        yield from (node.positions for node in nodes if node.positions is not None)


Dtab.EMPTY = Dtab()
