"""Patterns of paths, `/svc/*/{name}`: the beginning of a path with wildcards and captures.

A segment is a label, `*` for any one label, or `{name}` for any one label that is remembered. A template such
as `/#/fs/{name}-v2` is filled with what was remembered. As linkerd 1.x's PathMatcher.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from namer.dtab import ANY, AnyLabel
from namer.grammar import NameSyntaxError, parse_label
from namer.path import Path

_CAPTURE = re.compile(r"\{([^{}/]+)\}")


@dataclass(frozen=True, slots=True)
class Capture:
    """A segment that matches any one label and remembers it as `name`."""

    name: str


Segment: TypeAlias = str | AnyLabel | Capture


@dataclass(frozen=True, slots=True)
class PathPattern:
    """What a path must begin with."""

    segments: tuple[Segment, ...]

    @staticmethod
    def parse(text: str) -> PathPattern:
        """Read a written pattern. Raises NameSyntaxError."""
        return PathPattern(tuple(_segment(each) for each in _split(text)))

    @property
    def names(self) -> frozenset[str]:
        """What the pattern remembers."""
        return frozenset(each.name for each in self.segments if isinstance(each, Capture))

    def match(self, path: Path) -> dict[str, str] | None:
        """The labels remembered, by name, when `path` begins as the pattern says; else None."""
        if len(path) < len(self.segments):
            return None
        captured: dict[str, str] = {}
        for segment, label in zip(self.segments, path.labels, strict=False):
            match segment:
                case Capture(name):
                    captured[name] = label
                case str() if segment != label:
                    return None
        return captured

    def overlaps(self, other: PathPattern) -> bool:
        """Whether some path begins as both say."""
        pairs = zip(self.segments, other.segments, strict=False)
        return all(mine == theirs or not (isinstance(mine, str) and isinstance(theirs, str)) for mine, theirs in pairs)


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path with `{name}` where captured labels go, also as a part of a label."""

    segments: tuple[tuple[str | Capture, ...], ...]

    @staticmethod
    def parse(text: str, names: frozenset[str]) -> PathTemplate:
        """Read a template that may use the captures `names`. Raises NameSyntaxError."""
        for found in _CAPTURE.finditer(text):
            if found[1] not in names:
                known = ", ".join(sorted(names)) or "none"
                message = f"no capture {found[0]} in the pattern, which has: {known}"
                raise NameSyntaxError(message, text, found.start())
        return PathTemplate(tuple(_pieces(each) for each in _split(text)))

    def fill(self, captured: Mapping[str, str]) -> Path:
        """The path with the captured labels in it."""
        return Path(tuple(_join(pieces, captured) for pieces in self.segments))


def _split(text: str) -> list[str]:
    if not text.startswith("/"):
        raise NameSyntaxError("expected a path, which begins with '/'", text)
    return text[1:].split("/") if text != "/" else []


def _segment(written: str) -> Segment:
    if written == "*":
        return ANY
    found = _CAPTURE.fullmatch(written)
    return Capture(found[1]) if found else parse_label(written)


def _pieces(written: str) -> tuple[str | Capture, ...]:
    """A segment of a template; splitting by a group gives literals at even and names at odd places."""
    parts = enumerate(_CAPTURE.split(written))
    pieces = [Capture(part) if place % 2 else parse_label(part) for place, part in parts if part]
    return tuple(pieces) or (parse_label(""),)


def _join(pieces: tuple[str | Capture, ...], captured: Mapping[str, str]) -> str:
    return "".join(captured[piece.name] if isinstance(piece, Capture) else piece for piece in pieces)
