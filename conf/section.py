"""The base of every section of a configuration, and the words for what linkerd has and this agent has not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import msgspec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Absent:
    """A key or kind of linkerd 1.x that is refused by name, so that nothing is silently ignored."""

    feature: str
    planned: bool

    def __str__(self) -> str:
        when = "yet" if self.planned else "here"
        return f"not provided {when} ({self.feature}), see docs/linkerd1.md"


def not_yet(feature: str) -> Absent:
    """It will come."""
    return Absent(feature, planned=True)


def not_here(feature: str) -> Absent:
    """It is out of scope, or means nothing to this agent."""
    return Absent(feature, planned=False)


class Section(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A mapping of the file as an immutable value; its fields are the keys, with their defaults."""

    absent: ClassVar[Mapping[str, Absent]] = {}

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for values that are each valid and cannot stand together."""
        yield from ()


class Kinded(Section, frozen=True, tag_field="kind"):
    """A section that is one of several kinds; a key says which, by linkerd's name or its short form.

    A family of kinds has a common base. It knows the kind to take when none is given (None: one must be), and
    the kinds that are refused by name.
    """

    default_kind: ClassVar[str | None] = None
    absent_kinds: ClassVar[Mapping[str, Absent]] = {}

    @property
    def kind(self) -> str:
        """linkerd's full name of the kind."""
        return str(type(self).__struct_config__.tag)

    @classmethod
    def defaults_of_kind(cls, written: str) -> dict[str, object]:  # noqa: ARG003  (a hook)
        """Fields whose default depends on the kind as it was written."""
        return {}


def laid_over(below: T, above: T | None) -> T:
    """A value that is set, or else the one below it."""
    return below if above is None else above


def short_kind(kind: str) -> str:
    """`io.l5d.fs` -> `fs`, `io.l5d.http.retryableRead5XX` -> `retryableRead5XX`."""
    return kind.removeprefix("io.l5d.").removeprefix("http.")
