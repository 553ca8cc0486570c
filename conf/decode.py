"""A tree of nodes and a schema -> values, with every problem found on the way.

msgspec's own decoder stops at the first problem and knows no positions; so the walk is ours. A value that is
wrong is reported and left out. Its section is built all the same where that is possible, so that what does not
fit together is found in the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NoReturn, ParamSpec, TypeVar

from conf.errors import KeyPath, Position, Problems, did_you_mean, nearest, quote
from conf.fields import Reader
from conf.locate import position_within
from conf.scalars import MismatchError, found, is_null, read_number, read_text, read_truth, takes
from conf.schema import Key, Keys, Kinds, Many, Number, Shape, Table, Text, Truth, keys_of, places_of
from conf.section import Section, short_kind
from conf.source import Document, Items, Mapping, Node, Scalar
from namer.grammar import NameSyntaxError

_MOST_LISTED: Final = 12  # keys in a message

T = TypeVar("T")
P = ParamSpec("P")


class _UnreadableError(Exception):
    """A value could not be made; why has been reported."""


class Decoder:
    """Reads one document; what it saw remains for the checks across sections."""

    def __init__(self, document: Document, problems: Problems, schema: type[Section]) -> None:
        self.sections: dict[KeyPath, Section] = {}
        self.positions: dict[KeyPath, Position] = {}
        self.doubtful: set[KeyPath] = set()  # keys of sections that hold a default in place of what was wrong
        self._schema = schema
        self._document = document
        self._problems = problems

    def read(self) -> Section | None:
        """Read the document. Where there were problems, defaults stand, or the whole is None.

        Raises TooManyProblemsError.
        """
        try:
            return self._section(self._document.root, self._schema, {}, ())
        except _UnreadableError:
            return None

    def position(self, at: KeyPath) -> Position:
        """Where a key stands, or else what it would stand in."""
        while at not in self.positions:
            at = at[:-1]
        return self.positions[at]

    def _value(self, node: Node, shape: Shape, at: KeyPath) -> object:
        self.positions[at] = node.position
        match shape:
            case Truth():
                return self._scalar(at, read_truth, node)
            case Number():
                return self._scalar(at, read_number, node, shape)
            case Text():
                text = self._scalar(at, read_text, node, shape)
                return self._read_by(shape.reader, text, node, at) if shape.reader else text
            case Many():
                return self._items(node, shape, at)
            case Table():
                return self._table(node, shape, at)
            case Keys():
                return self._section(node, shape.section, {}, at)
            case Kinds():
                return self._kinded(node, shape, at)

    def _items(self, node: Node, shape: Many, at: KeyPath) -> tuple[object, ...]:
        if shape.or_one and isinstance(node, Mapping):
            return (self._value(node, shape.item, at),)
        if not isinstance(node, Items):
            self._fail(at, f"expected a list, found {found(node)}")
        if len(node.items) < shape.fewest:
            self._fail(at, "expected at least one item, found an empty list")
        values = []
        for index, item in enumerate(node.items):
            try:
                values.append(self._value(item, shape.item, (*at, index)))
            except _UnreadableError:
                continue
        return tuple(values)

    def _table(self, node: Node, shape: Table, at: KeyPath) -> dict[object, object]:
        if shape.or_keys and isinstance(node, Items):
            return dict.fromkeys(self._items(node, Many(shape.key), at))
        values = {}
        for name, value in self._entries(self._mapping(node, at), at):
            try:
                key = self._value(name, shape.key, (*at, name.text))
                values[key] = self._value(value, shape.item, (*at, name.text))
            except _UnreadableError:
                continue
        return values

    def _kinded(self, node: Node, kinds: Kinds, at: KeyPath) -> Section:
        written = self._written_kind(self._mapping(node, at), kinds, (*at, kinds.tag))
        kind = _full_name(written, kinds.members)
        if kind is None:
            self._unknown_kind(written, kinds, (*at, kinds.tag))
        member = kinds.members[kind]
        return self._section(node, member, member.defaults_of_kind(written), at)

    def _written_kind(self, node: Mapping, kinds: Kinds, at: KeyPath) -> str:
        for name, value in node.entries:
            if isinstance(name, Scalar) and name.text == kinds.tag and not is_null(value):
                self.positions[at] = value.position
                return self._scalar(at, read_text, value)
        if kinds.family.default_kind is None:
            self._fail(at, f"missing; expected one of {', '.join(kinds.members)}")
        return kinds.family.default_kind

    def _unknown_kind(self, written: str, kinds: Kinds, at: KeyPath) -> NoReturn:
        absent_kinds = kinds.family.absent_kinds
        absent = _full_name(written, absent_kinds)
        if absent is not None:
            self._fail(at, f"{quote(written)} is {absent_kinds[absent]}")
        names = [*kinds.members, *absent_kinds]
        guess = did_you_mean(nearest(written, [*names, *map(short_kind, names)]))
        self._fail(at, f"unknown {kinds.tag} {quote(written)}{guess}; known are {', '.join(kinds.members)}")

    def _section(self, node: Node, section: type[Section], values: dict[str, object], at: KeyPath) -> Section:
        self.positions[at] = node.position
        keys = keys_of(section)
        for name, value in self._entries(self._mapping(node, at), at):
            key = keys.get(name.text)
            if key is None:
                self._refuse_unknown(name, section, at)
            elif not is_null(value):
                try:
                    values[key.field] = self._known(value, key, (*at, key.name))
                except _UnreadableError:
                    self.doubtful.add((*at, key.name))
        self._require([key for key in keys.values() if key.required and key.field not in values], at)
        built = self.sections[at] = section(**values)
        if not any((*at, key) in self.doubtful for key in keys):
            for key_name, message in built.contradictions():
                self._report((*at, key_name), message)
        return built

    def _require(self, missing: list[Key], at: KeyPath) -> None:
        for key in missing:
            if (*at, key.name) not in self.doubtful:
                self._report((*at, key.name), f"missing; expected {takes(key.shape)}")
        if missing:
            raise _UnreadableError

    def _known(self, node: Node, key: Key, at: KeyPath) -> object:
        value = self._value(node, key.shape, at)
        if key.only and value not in key.only:
            works = " or ".join(map(_show, key.only))
            self._fail(at, f"{_show(value)} is not provided yet ({key.feature}); only {works} is")
        return value

    def _entries(self, node: Mapping, at: KeyPath) -> Iterator[tuple[Scalar, Node]]:
        """The entries whose key is a text that did not stand before."""
        seen: dict[str, Position] = {}
        for name, value in node.entries:
            if not isinstance(name, Scalar):
                self._problems.add(name.position, at, f"expected a text as key, found {found(name)}")
            elif name.text in seen:
                message = f"duplicate key; it already stands in line {seen[name.text].line}"
                self._problems.add(name.position, (*at, name.text), message)
            else:
                seen[name.text] = name.position
                yield name, value

    def _refuse_unknown(self, name: Scalar, section: type[Section], at: KeyPath) -> None:
        tag = section.__struct_config__.tag_field
        if name.text == tag:
            return
        if name.text in section.absent:
            message = str(section.absent[name.text])
        elif places := places_of(name.text, self._schema, _generic(at)):
            message = f"unknown key here; it belongs to {' or '.join(place or 'the top' for place in places)}"
        else:
            known = [*([tag] if tag else []), *keys_of(section)]
            guess = nearest(name.text, [*known, *section.absent])
            self.doubtful.add((*at, guess or name.text))
            listed = f"; known are {', '.join(known)}" if not guess and len(known) <= _MOST_LISTED else ""
            message = f"unknown key{did_you_mean(guess)}{listed}"
        self._problems.add(name.position, (*at, name.text), message)

    def _mapping(self, node: Node, at: KeyPath) -> Mapping:
        if not isinstance(node, Mapping):
            self._fail(at, f"expected a mapping, found {found(node)}")
        return node

    def _scalar(self, at: KeyPath, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except MismatchError as mismatch:
            self._fail(at, str(mismatch))

    def _read_by(self, reader: Reader, text: str, node: Node, at: KeyPath) -> object:
        assert isinstance(node, Scalar)
        try:
            return reader.read(text)
        except NameSyntaxError as error:
            place = position_within(self._document.text, node, error.line, error.column)
            self._problems.add(place, at, error.message)
            raise _UnreadableError from None
        except ValueError as error:
            reason = f": {error}" if str(error) else ""
            self._fail(at, f"expected {reader.takes}, found {found(node)}{reason}")

    def _report(self, at: KeyPath, message: str) -> None:
        self._problems.add(self.position(at), at, message)

    def _fail(self, at: KeyPath, message: str) -> NoReturn:
        self._report(at, message)
        raise _UnreadableError


def _full_name(written: str, kinds: Iterable[str]) -> str | None:
    return next((kind for kind in kinds if written in (kind, short_kind(kind))), None)


def _show(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _generic(at: KeyPath) -> str:
    """The path of a value as that of all its like: `namers[0]` as `namers[]`."""
    return "".join("[]" if isinstance(step, int) else f".{step}" for step in at).removeprefix(".")
