"""What the struct types say, as a few plain shapes: the one view of the schema that all who walk it share.

msgspec keeps the fields, their names in the file, their defaults and the `Meta` of their annotations; the
annotations are taken apart here. (`msgspec.inspect` would do that too, but it takes the namer's values for
structures to be read key by key, while they are texts in a file.)
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from conf.fields import READERS, About, Reader
from conf.section import Kinded, Section


class Truth(msgspec.Struct, frozen=True):
    """`true` or `false`."""


class Number(msgspec.Struct, frozen=True):
    """A number in a range; `whole` ones have no fraction."""

    low: float
    high: float
    whole: bool


class Text(msgspec.Struct, frozen=True):
    """A text of some length, and what reads it, if it is more than a text."""

    shortest: int = 0
    longest: int | None = None
    reader: Reader | None = None


class Many(msgspec.Struct, frozen=True):
    """A list; with `or_one`, its only item may stand for it."""

    item: Shape
    fewest: int = 0
    or_one: bool = False


class Table(msgspec.Struct, frozen=True):
    """A mapping with any keys of one form; with `or_keys`, a list of keys stands for one without values."""

    key: Text
    item: Shape
    or_keys: bool = False


class Keys(msgspec.Struct, frozen=True):
    """A mapping with the keys of a section."""

    section: type[Section]


class Kinds(msgspec.Struct, frozen=True):
    """A mapping with the keys of one of several sections; the key `tag` says which."""

    tag: str
    members: Mapping[str, type[Kinded]]

    @property
    def family(self) -> type[Kinded]:
        """A member; what it inherits holds for all of them."""
        return next(iter(self.members.values()))


Shape: TypeAlias = Truth | Number | Text | Many | Table | Keys | Kinds


class Key(msgspec.Struct, frozen=True):
    """A key of a section."""

    name: str
    field: str
    shape: Shape
    required: bool
    default: object
    about: About
    only: tuple[object, ...] = ()  # the values that work now; all if empty
    feature: str = ""  # what the other values need
    secret: bool = False


@cache
def keys_of(section: type[Section]) -> Mapping[str, Key]:
    """The keys of a section, by their names in the file."""
    keys = (_key(info) for info in msgspec.structs.fields(section))
    return {key.name: key for key in keys if key is not None}


def places_of(name: str, root: type[Section], at: str = "") -> list[str]:
    """Where in the file a key of this name belongs: `["namers[] of kind io.l5d.rewrite"]`.

    When other kinds of what stands at the path `at` have it, only these are told.
    """
    places: dict[str, list[str]] = {}
    for path, section in dict.fromkeys(sections_under(root)):  # kinds share sections
        if name in keys_of(section):
            kind = section.__struct_config__.tag
            places.setdefault(path, []).append(f"{section.__struct_config__.tag_field} {kind}" if kind else "")
    if places.get(at) == [""]:  # a section without a kind, of which there are two: what they stand in differs
        return [f"{at} under another kind"]
    if all(places.get(at, ("",))):
        return places[at]
    return [path + (f" of {kinds[0]}" if len(kinds) == 1 and kinds[0] else "") for path, kinds in places.items()]


def sections_under(root: type[Section], path: str = "") -> Iterator[tuple[str, type[Section]]]:
    """All sections of a file with their paths, parents first; a kind has the path of its family."""
    yield path, root
    for key in keys_of(root).values():
        shape, below = key.shape, f"{path}.{key.name}" if path else key.name
        if isinstance(shape, Many):
            below = below if shape.or_one else f"{below}[]"
            shape = shape.item
        match shape:
            case Keys(section):
                yield from sections_under(section, below)
            case Kinds(members=members):
                for member in members.values():
                    yield from sections_under(member, below)
            case _:
                continue


def _key(info: msgspec.structs.FieldInfo) -> Key | None:
    extra = _extra(_parts(info.type)[1])
    if extra.get("not_a_key"):
        return None
    return Key(
        name=info.encode_name,
        field=info.name,
        shape=_shape(info.type),
        required=info.required,
        default=None if info.required else info.default,
        about=extra["about"],
        only=extra.get("only", ()),
        feature=extra.get("feature", ""),
        secret=_is_secret(info.type),
    )


def _shape(annotation: Any) -> Shape:
    bare, metas = _parts(annotation)
    if get_origin(bare) in (Union, types.UnionType):
        members = [member for member in get_args(bare) if member is not type(None)]
        return _shape(members[0]) if len(members) == 1 else _kinds(members)
    if get_origin(bare) is tuple:
        return Many(_shape(get_args(bare)[0]), _bound(metas, "min_length") or 0, "one_or_many" in _extra(metas))
    if get_origin(bare) is Mapping:
        key, item = map(_shape, get_args(bare))
        assert isinstance(key, Text)
        return Table(key, item, "or_keys" in _extra(metas))
    if bare is bool:
        return Truth()
    if bare in (int, float):
        return Number(_bound(metas, "ge"), _bound(metas, "le"), whole=bare is int)
    if bare is str or get_origin(bare) is Literal:
        reader = _extra(metas).get("reader")
        return Text(_bound(metas, "min_length") or 0, _bound(metas, "max_length"), reader)
    if bare in READERS:
        return Text(reader=_extra(metas).get("reader", READERS[bare]))
    return _kinds([bare]) if issubclass(bare, Kinded) else Keys(bare)


def _kinds(members: list[type[Kinded]]) -> Kinds:
    tag = members[0].__struct_config__.tag_field
    assert tag is not None
    return Kinds(tag, {str(member.__struct_config__.tag): member for member in members})


def _parts(annotation: Any) -> tuple[Any, list[Meta]]:
    if get_origin(annotation) is not Annotated:
        return annotation, []
    bare, *metas = get_args(annotation)
    return bare, metas


def _bound(metas: list[Meta], name: str) -> Any:
    """A bound; of several the last, which narrows the one of a named type."""
    bounds = [getattr(meta, name) for meta in metas if getattr(meta, name) is not None]
    return bounds[-1] if bounds else None


def _extra(metas: list[Meta]) -> dict[str, Any]:
    return {name: value for meta in metas for name, value in (meta.extra or {}).items()}


def _is_secret(annotation: Any) -> bool:
    bare, metas = _parts(annotation)
    return "secret" in _extra(metas) or any(map(_is_secret, get_args(bare)))
