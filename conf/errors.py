"""What is wrong in a configuration, and where.

A file is read to its end and every problem is kept, so that an operator mends them all in one go. A problem
is one line, as compilers print it:

    linkerd.yaml:12:5: routers[0].servers[0].prot: unknown key; did you mean "port"?
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

KeyPath = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top, `("routers", 0, "label")`."""

MAX_PROBLEMS: Final = 500
_MAX_QUOTED: Final = 60
_MAX_GUESSED: Final = 60  # characters; nobody mistypes more
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file; both count from 1, the column in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; `str()` is its line. Without a position, it is the file itself."""

    origin: str
    line: int | None
    column: int | None
    key_path: str
    message: str

    def __str__(self) -> str:
        place = self.origin if self.line is None else f"{self.origin}:{self.line}:{self.column}"
        key = f"{self.key_path}: " if self.key_path else ""
        return f"{place}: {key}{self.message}"


class ConfigErrors(ValueError):
    """A configuration cannot be used; `problems` says all that is wrong, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


class TooManyProblemsError(Exception):
    """Raised while problems are collected, to stop reading a file that is wrong all over."""


@dataclass(slots=True)
class Problems:
    """Collects the problems of one file, at most MAX_PROBLEMS of them."""

    origin: str
    _found: list[tuple[Position, Problem]] = field(default_factory=list)

    def add(self, position: Position, key_path: KeyPath, message: str) -> None:
        """Keep one problem. Raises TooManyProblemsError when there are too many to be read by anyone."""
        self._keep(position, show_key_path(key_path), message)
        if len(self._found) == MAX_PROBLEMS:
            self._keep(position, "", f"{MAX_PROBLEMS} problems found; the rest of the file was not read")
            raise TooManyProblemsError

    def raise_if_any(self) -> None:
        """Raise ConfigErrors if there is a problem."""
        if self._found:
            raise ConfigErrors([problem for _, problem in sorted(self._found, key=lambda found: found[0])])

    def _keep(self, position: Position, key_path: str, message: str) -> None:
        problem = Problem(self.origin, position.line, position.column, key_path, message)
        self._found.append((position, problem))


def show_key_path(path: KeyPath) -> str:
    """A key path as people write it: `routers[0].servers[1].port`; odd keys are quoted: `["a b"]`."""
    shown = ""
    for key in path:
        if isinstance(key, int):
            shown += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(key):
            shown += f".{key}" if shown else key
        else:
            shown += f"[{quote(key)}]"
    return shown


def quote(text: str) -> str:
    """A text from the file, in quotes, on one line and not too long for one."""
    if len(text) > _MAX_QUOTED:
        text = text[: _MAX_QUOTED - 3] + "..."
    return json.dumps(text, ensure_ascii=not text.isprintable())


def nearest(written: str, known: Iterable[str]) -> str | None:
    """What may have been meant by a word that is not known."""
    import difflib  # takes milliseconds, which only a file with a mistake has to pay

    if len(written) > _MAX_GUESSED:
        return None
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(written.lower(), names, n=1)
    return names[near[0]] if near else None


def did_you_mean(guess: str | None) -> str:
    """The words to put behind a message; none without a guess."""
    return f"; did you mean {quote(guess)}?" if guess else ""
