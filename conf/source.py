"""Text -> a tree of nodes, each of which knows its line and column.

The text is YAML, and so JSON too. It is read as a stream of events, without recursion, and within bounds:
a file may be hostile (a short one can hold gigabytes of aliases), or just the wrong file. Two things differ
from YAML at large. Scalars keep their text, since only the schema knows what they ought to be: `no` is never
a truth value, and no port is octal by surprise. Tags (`!!int`) are refused, for nothing here needs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

import yaml
from msgspec import Struct
from yaml.reader import Reader

from conf.errors import ConfigErrors, Position, Problem

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_NODES: Final = 200_000  # every use of an alias counts what it stands for
MAX_DEPTH: Final = 40

_LOADER: Final[type] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Mark(Protocol):
    """What the two parsers of PyYAML, the one in C and the one in Python, say of a place."""

    line: int
    column: int


class Scalar(Struct, eq=False):
    """A text. One that stood in quotes or in a block is not `plain`: it is text and nothing else."""

    position: Position
    text: str
    style: str  # "" plain, "'" or '"' quoted, "|" or ">" block
    start: int  # where it begins and ends in the document, counted in characters
    end: int
    size: int = 1
    height: int = 0

    @property
    def plain(self) -> bool:
        return self.style == ""


class Items(Struct, eq=False):
    """A list."""

    position: Position
    items: list[Node] = []
    size: int = 1
    height: int = 0


class Mapping(Struct, eq=False):
    """Keys with their values, as they stand: what a key may be, and how often, is seen later."""

    position: Position
    entries: list[tuple[Node, Node]] = []
    size: int = 1
    height: int = 0


Node = Scalar | Items | Mapping


class Document(Struct, frozen=True):
    """A whole file: its text and what stands in it."""

    origin: str
    text: str
    root: Node


def parse(text: str, origin: str) -> Document:
    """Read a text. Raises ConfigErrors with one problem when it is too big, or not YAML at all."""
    text = text.removeprefix("\ufeff")
    _check_characters(text, origin)
    try:
        root = _Builder(origin).build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(origin, error) from None
    return Document(origin, text, root)


class _Builder:
    """Builds one tree out of events, and keeps count of what it holds."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._open: list[Items | Mapping] = []
        self._keys: list[Node | None] = []  # for each open collection, the key that waits for its value
        self._anchors: dict[str, Node] = {}
        self._nodes = 0
        self._root: Node | None = None

    def build(self, events: Iterator[yaml.Event]) -> Node:
        for event in events:
            position = _position(event.start_mark)
            match event:
                case yaml.DocumentStartEvent() if self._root is not None:
                    raise _error(self._origin, position, "a second document begins; expected only one")
                case yaml.ScalarEvent():
                    self._refuse_tag(event.tag, position)
                    self._place(_scalar(event, position), event.anchor)
                case yaml.SequenceStartEvent():
                    self._enter(Items(position), event)
                case yaml.MappingStartEvent():
                    self._enter(Mapping(position), event)
                case yaml.AliasEvent(anchor=str(anchor)):
                    self._place(self._named(anchor, position), None)
                case yaml.CollectionEndEvent():
                    self._leave()
        if self._root is None:
            raise _error(self._origin, Position(1, 1), 'empty; expected at least the key "routers"')
        return self._root

    def _enter(self, node: Items | Mapping, event: yaml.CollectionStartEvent) -> None:
        self._refuse_tag(event.tag, node.position)
        self._count(node, height=len(self._open) + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._open.append(node)
        self._keys.append(None)

    def _leave(self) -> None:
        node = self._open.pop()
        self._keys.pop()
        self._attach(node)

    def _place(self, node: Node, anchor: str | None) -> None:
        self._count(node, height=len(self._open) + node.height)
        if anchor is not None:
            self._anchors[anchor] = node
        self._attach(node)

    def _attach(self, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        if isinstance(parent, Items):
            parent.items.append(node)
        elif (key := self._keys[-1]) is None:
            self._keys[-1] = node
        else:
            parent.entries.append((key, node))
            self._keys[-1] = None

    def _named(self, anchor: str, position: Position) -> Node:
        node = self._anchors.get(anchor)
        if node is None:
            raise _error(self._origin, position, f"the alias *{anchor} has no anchor &{anchor} before it")
        if any(node is each for each in self._open):
            raise _error(self._origin, position, f"the alias *{anchor} stands inside what it names")
        return node

    def _count(self, node: Node, height: int) -> None:
        self._nodes += node.size
        if self._nodes > MAX_NODES:
            raise _error(self._origin, node.position, f"more than {MAX_NODES} values; expected a configuration")
        if height > MAX_DEPTH:
            raise _error(self._origin, node.position, f"more than {MAX_DEPTH} levels of nesting")

    def _refuse_tag(self, tag: str | None, position: Position) -> None:
        if tag is not None:
            raise _error(self._origin, position, f"the tag {tag} is not understood; leave it out")


def _check_characters(text: str, origin: str) -> None:
    if bad := Reader.NON_PRINTABLE.search(text) or re.search("\ufeff", text):
        line_start = text.rfind("\n", 0, bad.start())
        position = Position(text.count("\n", 0, bad.start()) + 1, bad.start() - line_start)
        raise _error(origin, position, f"the character U+{ord(bad[0]):04X} may not stand in YAML")
    size = len(text.encode())
    if size > MAX_BYTES:
        raise _error(origin, Position(1, 1), f"{size} bytes; a configuration may have at most {MAX_BYTES}")


def _scalar(event: yaml.ScalarEvent, position: Position) -> Scalar:
    start, end = event.start_mark, event.end_mark
    assert start is not None
    assert end is not None
    return Scalar(position, event.value, event.style or "", start.index, end.index)


def _syntax_error(origin: str, error: yaml.MarkedYAMLError) -> ConfigErrors:
    context = f" {error.context}" if error.context else ""
    position = _position(error.problem_mark or error.context_mark)
    return _error(origin, position, f"not valid YAML: {error.problem}{context}")


def _error(origin: str, position: Position, message: str) -> ConfigErrors:
    return ConfigErrors([Problem(origin, position.line, position.column, "", " ".join(message.split()))])


def _position(mark: _Mark | None) -> Position:
    return Position(1, 1) if mark is None else Position(mark.line + 1, mark.column + 1)
