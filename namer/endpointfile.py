"""Endpoint files: one endpoint a line, `host port [* weight] [zone=NAME]` or `unix:PATH` in its place, `#` comments.

    # the two of rack 7
    10.0.7.1 8080
    10.0.7.2 8080 * 0.5 zone=eu-1a
    web.example.org 8080      each address of the host
    unix:/run/app.sock * 2    a Unix socket

A line that is not of this form is reported with its number, and takes away nothing but itself. A file with more
endpoints than one name can use is refused as a whole: part of it would be no better than what was there before.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from namer.addr import check_socket_path
from namer.hosts import is_host
from namer.targets import Target

MAX_ENDPOINTS: Final = 10_000
MAX_WEIGHT: Final = 1e9
SHOWN_PROBLEMS: Final = 5

_REST = r"(?:\s*\*\s*(\S+))?(?:\s+zone=(\S*))?"
_LINE = re.compile(r"(\S+)\s+(\S+?)" + _REST)
_UNIX = re.compile(r"unix:([^\s*]*)()" + _REST)
_ZONE = re.compile(r"[!-~]{1,100}")


@dataclass(frozen=True, slots=True)
class EndpointLine:
    """One good line; `number` counts from 1."""

    number: int
    target: Target


@dataclass(frozen=True, slots=True)
class EndpointFile:
    """What a file says: the good lines, and messages for the others; the first few, and `more` that are left out."""

    lines: tuple[EndpointLine, ...] = ()
    problems: tuple[str, ...] = ()
    more: int = 0


class TooLargeError(Exception):
    """A file is larger, or has more endpoints, than one name can use; the message says how many that are."""


def parse_endpoints(text: str, origin: str) -> EndpointFile:
    """Read the text of an endpoint file; problems name `origin` and the line. Raises TooLargeError."""
    lines: list[EndpointLine] = []
    problems: list[str] = []
    more = 0
    for number, written in enumerate(text.split("\n"), 1):
        content = written.partition("#")[0].strip()
        if not content:
            continue
        try:
            lines.append(_parse_line(content, number))
        except ValueError as problem:
            if len(problems) < SHOWN_PROBLEMS:
                problems.append(f"{origin}:{number}: {problem}")
            else:
                more += 1
        if len(lines) > MAX_ENDPOINTS:
            raise TooLargeError(f"more than {MAX_ENDPOINTS} endpoints, so it is not read")
    return EndpointFile(tuple(lines), tuple(problems), more)


def summary(problems: Iterable[str], more: int = 0) -> str:
    """The problems as one text, the first few in full; `more` are not even named."""
    rest = iter(problems)
    shown = list(islice(rest, SHOWN_PROBLEMS))
    more += sum(1 for _ in rest)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _parse_line(content: str, number: int) -> EndpointLine:
    found = _UNIX.fullmatch(content) or _LINE.fullmatch(content)
    if found is None:
        raise ValueError(f"{_clip(content)}: expected 'host port' or 'host port * weight', then maybe zone=NAME")
    host, port, weight, zone = found.groups()
    if found.re is not _UNIX and not is_host(host):
        raise ValueError(f"{_clip(host)}: expected an IP address or a host name")
    target = Target(
        host if found.re is not _UNIX else _parse_path(host),
        _parse_port(port) if found.re is not _UNIX else 0,
        1.0 if weight is None else _parse_weight(weight),
        () if zone is None else (("zone", _parse_zone(zone)),),
    )
    return EndpointLine(number, target)


def _parse_path(text: str) -> str:
    try:
        return check_socket_path(text)
    except ValueError as problem:
        raise ValueError(f"{_clip(text)}: {problem}") from None


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError(f"{_clip(text)}: expected a port from 1 to 65535")
    return int(text)


def _parse_weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0.0 < weight <= MAX_WEIGHT:
        raise ValueError(f"{_clip(text)}: expected a weight above 0, such as 0.5; to take it out remove the line")
    return weight


def _parse_zone(text: str) -> str:
    if not _ZONE.fullmatch(text):
        raise ValueError(f"{_clip(text)}: expected the name of a zone, such as eu-1a: up to 100 printable characters")
    return text


def _clip(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
