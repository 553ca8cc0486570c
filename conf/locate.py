"""From a character of a value back to its place in the file.

YAML folds lines, strips indentation and unescapes, but it never adds, drops or moves a character that is not
white space. So the n-th such character of the value is the n-th of the source, and its line and column are
known, whatever the style: an error inside a dtab is shown where the operator wrote it.
"""

from __future__ import annotations

import re
from typing import Final

from conf.errors import Position
from conf.source import Scalar

_SINGLE: Final = re.compile(r"''|.", re.DOTALL)
_DOUBLE: Final = re.compile(r"\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}|\\\r\n|\\.|.", re.DOTALL)
_PLAIN: Final = re.compile(r".", re.DOTALL)
_WHITE_ESCAPES: Final = frozenset("nrtvfNLP_ \t\n\r")


def position_within(document: str, scalar: Scalar, line: int, column: int) -> Position:
    """Return the place in the *document* of a line and column, counted from 1, of the text of *scalar*."""
    lines = scalar.text.split("\n")
    before = "".join(lines[: line - 1]) + lines[line - 1][: column - 1]
    wanted = sum(not char.isspace() for char in before)
    start, end, token = _content(document, scalar)
    after_last = start
    for found in token.finditer(document, start, end):
        if _is_white(found[0], scalar.style):
            continue
        if wanted == 0:
            return _move(document, scalar, found.start())
        wanted -= 1
        after_last = found.end()
    return _move(document, scalar, after_last)


def _content(document: str, scalar: Scalar) -> tuple[int, int, re.Pattern[str]]:
    match scalar.style:
        case "'":
            return scalar.start + 1, scalar.end - 1, _SINGLE
        case '"':
            return scalar.start + 1, scalar.end - 1, _DOUBLE
        case "|" | ">":  # the header has a line of its own
            header_end = document.find("\n", scalar.start, scalar.end)
            return header_end + 1, scalar.end, _PLAIN
        case _:
            return scalar.start, scalar.end, _PLAIN


def _is_white(token: str, style: str) -> bool:
    if style != '"' or not token.startswith("\\"):
        return token.isspace()
    if token[1] in "xuU":
        return chr(int(token.lstrip("\\xuU"), base=16)).isspace()
    return token[1] in _WHITE_ESCAPES


def _move(document: str, scalar: Scalar, to: int) -> Position:
    """The position of the character *to*, which does not come before the scalar."""
    breaks = document.count("\n", scalar.start, to)
    if breaks == 0:
        return Position(scalar.position.line, scalar.position.column + to - scalar.start)
    return Position(scalar.position.line + breaks, to - document.rfind("\n", 0, to))
