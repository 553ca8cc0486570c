"""Endpoint files: one endpoint a line, `host port [* weight] [KEY=VALUE ...]` or `unix:PATH` for the two, `#` comments.

    # the two of rack 7
    10.0.7.1 8080
    10.0.7.2 8080 * 0.5 zone=eu-1a
    10.0.7.3 8080 node=web-3 agent=4141     the name of its host, and the port of the agent there
    web.example.org 8080      each address of the host
    unix:/run/app.sock * 2    a Unix socket

The keys are zone, node and agent, each at most once. A line that is not of this form is reported with its number, and
takes away nothing but itself. A file with more endpoints than one name can use is refused as a whole: part of it would
be no better than what was there before.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from namer.addr import check_socket_path
from namer.agents import AGENT, read_port
from namer.hosts import is_host
from namer.targets import Target

MAX_ENDPOINTS: Final = 10_000
MAX_WEIGHT: Final = 1e9
SHOWN_PROBLEMS: Final = 5

_KEYS = "zone|node|agent"
_REST = rf"(?:\s*\*\s*(\S+))?((?:\s+(?:{_KEYS})=\S*)*)"
_LINE = re.compile(r"(\S+)\s+(\S+?)" + _REST)
_UNIX = re.compile(r"unix:([^\s*]*)()" + _REST)
_VALUE = re.compile(r"[!-~]{1,100}")


_EXPECTED: Final = {
    "zone": "the name of a zone, such as eu-1a",
    "node": "the name of a host, such as web-3",
    "agent": "the port of an agent, such as 4141",
}


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
    if found is None or _has_twice(found[4]):
        raise ValueError(
            f"{_clip(content)}: expected 'host port' or 'host port * weight', then maybe zone=NAME, node=NAME or "
            "agent=PORT"
        )
    host, port, weight, pairs = found.groups()
    if found.re is not _UNIX and not is_host(host):
        raise ValueError(f"{_clip(host)}: expected an IP address or a host name")
    target = Target(
        host if found.re is not _UNIX else _parse_path(host),
        _parse_port(port) if found.re is not _UNIX else 0,
        1.0 if weight is None else _parse_weight(weight),
        _parse_pairs(pairs),
    )
    return EndpointLine(number, target)


def _parse_path(text: str) -> str:
    try:
        return check_socket_path(text)
    except ValueError as problem:
        raise ValueError(f"{_clip(text)}: {problem}") from None


def _parse_port(text: str) -> int:
    port = read_port(text)
    if port is None:
        raise ValueError(f"{_clip(text)}: expected a port from 1 to 65535")
    return port


def _parse_weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0.0 < weight <= MAX_WEIGHT:
        raise ValueError(f"{_clip(text)}: expected a weight above 0, such as 0.5; to take it out remove the line")
    return weight


def _has_twice(pairs: str) -> bool:
    keys = [pair.partition("=")[0] for pair in pairs.split()]
    return len(set(keys)) < len(keys)


def _parse_pairs(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [(key, value) for key, _, value in (pair.partition("=") for pair in text.split())]
    for key, value in pairs:
        if not _VALUE.fullmatch(value):
            raise ValueError(f"{_clip(value)}: expected {_EXPECTED[key]}: up to 100 printable characters")
        if key == AGENT and read_port(value) is None:
            raise ValueError(f"{_clip(value)}: expected the port of an agent, from 1 to 65535")
    return tuple(pairs)


def _clip(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
