"""The one reader of the naming language: paths, name trees, dtabs, and patterns of paths.

    path     = "/" [ label *( "/" label ) ]
    label    = 1*( letter / digit / one of "_:.#$%-" / "\\x" HEX HEX )
    prefix   = "/" [ element *( "/" element ) ]      element = "*" / label
    tree     = union *( "|" union )
    union    = weighted *( "&" weighted )            "&" binds tighter than "|"
    weighted = [ number "*" ] simple                 number  = digits with at most one dot
    simple   = "(" tree ")" / path / "!" / "~" / "$"
    dentry   = prefix "=>" tree
    dtab     = [ dentry *( ";" dentry ) [ ";" ] ]

White space (of ASCII), and comments from `#` to the end of the line, may stand between the parts, but not
inside a path. The language is finagle's (`com.twitter.finagle.NameTreeParsers`). Whatever the text, the only
thing raised is NameSyntaxError; what comes from outside is bounded by the constants below.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from namer.dtab import ANY, Dentry, Dtab, Prefix
from namer.nametree import EMPTY, FAIL, NEG, Alt, Leaf, NameTree, Union, Weighted
from namer.path import Path

MAX_PATH_CHARS: Final = 32 * 1024
MAX_DTAB_CHARS: Final = 16 * 1024 * 1024
MAX_NESTING: Final = 50  # parentheses inside parentheses; a tree is walked by recursion
MAX_WEIGHT: Final = 1e9

_CHAR = r"[0-9A-Za-z_:.#$%-]"
# Each can match in one way only, so they are linear. No group is possessive: CPython before 3.11.5 gets those wrong
# (gh-106052).
_LABEL = rf"(?:{_CHAR}++|\\x[0-9A-Fa-f]{{2}})+"
_ONE_LABEL = re.compile(_LABEL)
_PATH = re.compile(rf"/(?:{_LABEL}(?:/{_LABEL})*)?")
_ELEMENT = rf"(?:\*(?![*\\]|{_CHAR})|{_LABEL})"
_PREFIX = re.compile(rf"/(?:{_ELEMENT}(?:/{_ELEMENT})*)?")
_PLAIN_PATH = re.compile(rf"(?:/{_CHAR}++)+")
_SPACE = re.compile(r"(?:[ \t\n\r\f\v]++|#[^\n]*+)*")
_NUMBER = re.compile(r"[0-9.]++")
_WEIGHT_BEGINS = frozenset("0123456789.")
_ESCAPE = re.compile(rb"\\x(..)")


class NameSyntaxError(ValueError):
    """A text that is not in the language: what was expected, what was found, and where.

    `line` and `column` count from 1 within `text`, the whole text that was read.
    """

    def __init__(self, message: str, text: str, position: int = 0) -> None:
        self.message = message
        self.text = text
        self.line = text.count("\n", 0, position) + 1
        self.column = position - text.rfind("\n", 0, position)
        super().__init__(f"line {self.line}, column {self.column}: {message}")


def parse_path(text: str) -> Path:
    """Read a path; white space may stand around it. Raises NameSyntaxError."""
    if len(text) <= MAX_PATH_CHARS and _PLAIN_PATH.fullmatch(text):
        return Path(tuple(text[1:].split("/")))
    parser = _Parser(text, MAX_PATH_CHARS)
    path = parser.path()
    parser.end("expected the end of the path")
    return path


def parse_label(text: str) -> str:
    """Read one label. Raises NameSyntaxError."""
    if len(text) > MAX_PATH_CHARS or not _ONE_LABEL.fullmatch(text):
        raise NameSyntaxError(r"expected one label: letters, digits, '_:.#$%-', and \xHH for any other byte", text)
    return _label(text)


def parse_tree(text: str) -> NameTree[Path]:
    """Read a name tree. Raises NameSyntaxError."""
    parser = _Parser(text, MAX_DTAB_CHARS)
    tree = parser.tree()
    parser.end("expected '|', '&' or the end of the tree")
    return tree


def parse_prefix(text: str) -> Prefix:
    """Read the prefix of a dentry. Raises NameSyntaxError."""
    parser = _Parser(text, MAX_PATH_CHARS)
    prefix = parser.prefix()
    parser.end("expected the end of the prefix")
    return prefix


def parse_dtab(text: str) -> Dtab:
    """Read a table; it may be empty, and may end in `;`. Raises NameSyntaxError."""
    parser = _Parser(text, MAX_DTAB_CHARS)
    dentries = parser.dentries()
    parser.end("expected ';', '|', '&' or the end of the table")
    return Dtab(dentries)


class _Parser:
    """Reads from left to right; each method reads one rule of the grammar and leaves `_at` behind it."""

    __slots__ = ("_at", "_nesting", "_text")

    def __init__(self, text: str, limit: int) -> None:
        if len(text) > limit:
            raise NameSyntaxError(f"text of {len(text)} characters: at most {limit} are read", text)
        self._text = text
        self._at = 0
        self._nesting = 0

    def dentries(self) -> tuple[Dentry, ...]:
        dentries = []
        while self._peek():
            dentries.append(self._dentry())
            if not self._took(";"):
                break
        return tuple(dentries)

    def _dentry(self) -> Dentry:
        prefix = self.prefix()
        self._expect("=>")
        return Dentry(prefix, self.tree())

    def prefix(self) -> Prefix:
        return Prefix(tuple(ANY if each == "*" else _label(each) for each in self._segments(_PREFIX)))

    def path(self) -> Path:
        return Path(tuple(_label(each) for each in self._segments(_PATH)))

    def tree(self) -> NameTree[Path]:
        trees = [self._union()]
        while self._took("|"):
            trees.append(self._union())
        return trees[0] if len(trees) == 1 else Alt(tuple(trees))

    def _union(self) -> NameTree[Path]:
        branches = [self._weighted()]
        while self._took("&"):
            branches.append(self._weighted())
        return branches[0].tree if len(branches) == 1 else Union(tuple(branches))

    def _weighted(self) -> Weighted[Path]:
        weight = 1.0
        if self._peek() in _WEIGHT_BEGINS:
            weight = self._number()
            self._expect("*")
        return Weighted(weight, self._simple())

    def _simple(self) -> NameTree[Path]:
        match self._peek():
            case "/":
                return Leaf(self.path())
            case "(":
                return self._parenthesised()
            case "!":
                simple: NameTree[Path] = FAIL
            case "~":
                simple = NEG
            case "$":
                simple = EMPTY
            case _:
                self._fail("expected a path, '(', '!', '~' or '$'")
        self._at += 1
        return simple

    def _parenthesised(self) -> NameTree[Path]:
        if self._nesting == MAX_NESTING:
            self._fail(f"expected at most {MAX_NESTING} parentheses inside each other")
        self._nesting += 1
        self._expect("(")
        tree = self.tree()
        self._expect(")")
        self._nesting -= 1
        return tree

    def _number(self) -> float:
        digits = _match(_NUMBER, self._text, self._at)
        try:
            weight = float(digits)
        except ValueError:
            self._fail("expected a weight such as 9 or 0.5", digits)
        if weight > MAX_WEIGHT:
            self._fail(f"expected a weight of at most {MAX_WEIGHT:.0f}", digits)
        self._at += len(digits)
        return weight

    def _segments(self, shape: re.Pattern[str]) -> list[str]:
        self._skip_space()
        written = _match(shape, self._text, self._at)
        if not written:
            self._fail("expected a path, which begins with '/'")
        if len(written) > MAX_PATH_CHARS:
            self._fail(f"expected a path of at most {MAX_PATH_CHARS} characters", f"{len(written)}")
        self._at += len(written)
        self._refuse_broken_segment()
        return written[1:].split("/") if len(written) > 1 else []

    def _refuse_broken_segment(self) -> None:
        """What follows a path without a space must not look as if the path went on."""
        follows = self._text[self._at : self._at + 2]
        if follows.startswith("*") or follows == "/*":
            self._fail("expected a '*' only as a whole label in the prefix of a dentry", follows)
        if follows.startswith("/"):
            self._at += 1
            self._fail("expected a label after '/'")
        if follows.startswith("\\"):
            self._fail(r"expected an escape \xHH with two hex digits", follows)

    def end(self, expected: str) -> None:
        if self._peek():
            self._fail(expected)

    def _expect(self, word: str) -> None:
        self._skip_space()
        if not self._text.startswith(word, self._at):
            self._fail(f"expected '{word}'")
        self._at += len(word)

    def _took(self, char: str) -> bool:
        if self._peek() != char:
            return False
        self._at += 1
        return True

    def _peek(self) -> str:
        """The next character that is no space, or nothing at the end."""
        self._skip_space()
        return self._text[self._at : self._at + 1]

    def _skip_space(self) -> None:
        self._at += len(_match(_SPACE, self._text, self._at))

    def _fail(self, expected: str, found: str | None = None) -> NoReturn:
        found = (found or self._text[self._at : self._at + 1])[:40]
        shown = repr(found) if found else "the end of the text"
        raise NameSyntaxError(f"{expected}, found {shown}", self._text, self._at)


def _match(pattern: re.Pattern[str], text: str, at: int) -> str:
    found = pattern.match(text, at)
    return found[0] if found else ""


def _label(written: str) -> str:
    if "\\" not in written:
        return written
    raw = _ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), written.encode("ascii"))
    return raw.decode("utf-8", "surrogateescape")
