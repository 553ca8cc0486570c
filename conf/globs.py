"""Templates with `*` of names, paths of URLs, identities and cgroups; the normal form of the path of a URL. Pure.

    /svc/users          just that
    /svc/*              one label below /svc; a * stands for any run of characters of one label, also within it
    /svc/**             /svc and all that is below it; ** is for the end

What a path means is up to whoever serves it: one decodes `%2e%2e`, merges `//` or takes `;x` off, another does not. So
only a path that means the same to all of them has a normal form, and can be matched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from namer.grammar import parse_label

MAX_SEGMENTS: Final = 32
"""Of a template."""

_PLAIN: Final = re.compile(rb"(?:/[0-9A-Za-z_~+-][0-9A-Za-z_~+.-]*)+/?")
"""Paths as nearly all are, which need no closer look."""
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_TAKEN_APART: Final = re.compile(r"[/\\;#\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")


@dataclass(frozen=True, slots=True)
class Template:
    """What a sequence of labels must look like."""

    text: str
    segments: tuple[tuple[str, ...], ...]
    """Each in the pieces that are between its `*`."""
    open: bool
    """Whether any labels may follow."""

    def fits(self, labels: Sequence[str]) -> bool:
        """Tell whether these labels look so. In time that is linear in their length for each segment."""
        if len(labels) < len(self.segments) or (len(labels) > len(self.segments) and not self.open):
            return False
        return all(map(_fits, self.segments, labels))

    def covers(self, other: Template) -> bool:
        """Tell whether all that fits `other` fits this, so far as can be seen: False may be wrong, True is not."""
        if len(other.segments) < len(self.segments) or (other.open and not self.open):
            return False
        if len(other.segments) > len(self.segments) and not self.open:
            return False
        # A segment of the other in which NUL stands for its `*` is one of what it takes, and no literal has a NUL.
        return all(_fits(mine, "\0".join(theirs)) for mine, theirs in zip(self.segments, other.segments, strict=False))

    def __str__(self) -> str:
        return self.text


def overlap(one: Template, other: Template) -> bool:
    """Tell whether something may fit both: True may be wrong, False is not."""
    if len(one.segments) > len(other.segments):
        one, other = other, one
    if len(one.segments) < len(other.segments) and not one.open:
        return False
    return all(
        len(mine) > 1 or len(theirs) > 1 or mine == theirs
        for mine, theirs in zip(one.segments, other.segments, strict=False)
    )


def name_template(text: str) -> Template:
    """Read a template of logical names: `/svc/*.example.com:443`. Raises ValueError."""
    template = _template(text, _below_root(text), parse_label)
    if any(";" in piece for pieces in template.segments for piece in pieces):
        raise ValueError("a subset (after ;) counts as its service: name just that")
    return template


def path_template(text: str) -> Template:
    """Read a template of paths of URLs: `/users/*/photo`. Raises ValueError."""
    _below_root(text)
    if "?" in text:
        raise ValueError("a template is of the path, without the query")
    segments = normal_segments(text.encode())
    if segments is None:
        raise ValueError("no request matches it: such a path has no one meaning (//, /../, ;, \\ or an encoded /)")
    return _template(text, segments, str)


def identity_template(text: str) -> Template:
    """Read a template of identities: `spiffe://example.org/svc/*`. Raises ValueError."""
    if not text or not text.isprintable() or " " in text:
        raise ValueError
    return _template(text, text.split("/"), str)


def cgroup_template(text: str) -> Template:
    """Read a template of paths of cgroups: `/system.slice/*.service`. Raises ValueError."""
    segments = _below_root(text)
    if any(segment in ("", ".", "..") for segment in segments):
        raise ValueError("no cgroup has such a path (//, /./, /../ or a slash at the end)")
    if not (text.isascii() and text.isprintable()):
        raise ValueError("only printable ASCII is compared")
    return _template(text, segments, str)


def normal_segments(path: bytes) -> tuple[str, ...] | None:
    """Return the segments of a path (without its query), decoded; None where servers may read it in different ways.

    One slash at the end makes no difference. None is for: what is no path or not UTF-8, empty and dot segments (encoded
    or not), `;` and what follows it, backslashes, control characters, an encoded `/`, escapes that are broken or would
    be decoded twice (RFC 3986, 6.2.2 and 3.3).
    """
    if not path.startswith(b"/") or _BAD_ESCAPE.search(path):
        return None
    if path == b"/":
        return ()
    if _PLAIN.fullmatch(path):
        return tuple(path[1:].removesuffix(b"/").decode().split("/"))
    found = []
    for raw in path[1:].removesuffix(b"/").split(b"/"):
        try:
            segment = (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
        except UnicodeDecodeError:
            return None
        if segment in ("", ".", "..") or _TAKEN_APART.search(segment):
            return None
        found.append(segment)
    return tuple(found)


def _below_root(text: str) -> list[str]:
    if not text.startswith("/"):
        raise ValueError
    return text[1:].split("/") if text != "/" else []


def _template(text: str, segments: Sequence[str], literal: Callable[[str], str]) -> Template:
    open_end = bool(segments) and segments[-1] == "**"
    if open_end:
        segments = segments[:-1]
    if any("**" in segment for segment in segments):
        raise ValueError("** stands for all that follows: it has its place at the end, after a /")
    if len(segments) > MAX_SEGMENTS:
        raise ValueError(f"it has more than {MAX_SEGMENTS} segments")
    return Template(text, tuple(_pieces(segment, literal) for segment in segments), open_end)


def _pieces(segment: str, literal: Callable[[str], str]) -> tuple[str, ...]:
    pieces = segment.split("*")
    if len(pieces) == 1:
        return (literal(segment),)
    return tuple(literal(piece) if piece else "" for piece in pieces)


def _fits(pieces: tuple[str, ...], label: str) -> bool:
    first, *others = pieces
    if not others:
        return label == first
    *middle, last = others
    end = len(label) - len(last)
    if end < len(first) or not label.startswith(first) or not label.endswith(last):
        return False
    at = len(first)
    for piece in middle:
        found = label.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
