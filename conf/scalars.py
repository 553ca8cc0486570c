"""A scalar and its shape -> a value; and the words for what was expected and what was found."""

from __future__ import annotations

import re
from typing import Final

from conf.errors import quote
from conf.schema import Keys, Kinds, Many, Number, Shape, Table, Text, Truth
from conf.source import Items, Mapping, Node, Scalar

_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_TRUTH: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9](?:_?[0-9]){0,30})")
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})(?:[eE][-+]?[0-9]{1,4})?")


class MismatchError(Exception):
    """A node is not what its shape wants; the message says what was expected and what was found."""


def read_truth(node: Node) -> bool:
    """A truth value, as YAML 1.2 and JSON write it. Raises MismatchError."""
    if isinstance(node, Scalar) and node.plain and node.text in _TRUTH:
        return _TRUTH[node.text]
    raise _mismatch(Truth(), node)


def read_number(node: Node, shape: Number) -> float:
    """A decimal number in its range. Raises MismatchError."""
    if not isinstance(node, Scalar) or not (_INTEGER if shape.whole else _NUMBER).fullmatch(node.text):
        raise _mismatch(shape, node)
    if not node.plain:
        raise _mismatch(shape, node, "; take away the quotes")
    value = int(node.text) if shape.whole else float(node.text)
    if not shape.low <= value <= shape.high:
        raise MismatchError(f"{node.text} is out of range; expected {takes(shape)}")
    return value


def read_text(node: Node, shape: Text = Text()) -> str:  # noqa: B008  (a constant)
    """A text of the right length; a number must be quoted to be one. Raises MismatchError."""
    if not isinstance(node, Scalar):
        raise _mismatch(shape, node)
    if _is_bare(node):
        raise _mismatch(shape, node, "; put it in quotes if it is text")
    if len(node.text) < shape.shortest:
        raise MismatchError(f"expected {takes(shape)}, found an empty text")
    if shape.longest is not None and len(node.text) > shape.longest:
        raise MismatchError(f"expected at most {shape.longest} characters, found {len(node.text)}")
    return node.text


def is_null(node: Node) -> bool:
    """Whether a key was left without a value, which is as if it had been left out."""
    return isinstance(node, Scalar) and node.plain and node.text in _NULL


def found(node: Node) -> str:
    """What stands in the file."""
    match node:
        case Mapping():
            return "a mapping"
        case Items():
            return "a list"
        case Scalar() if is_null(node):
            return "nothing"
        case Scalar() if _is_bare(node):
            return node.text if node.text in _TRUTH else f"the number {node.text}"
        case Scalar():
            return f"the text {quote(node.text)}"


def takes(shape: Shape) -> str:
    """What a key takes, with its range."""
    match shape:
        case Truth():
            return "true or false"
        case Number(low, high, whole):
            return f"a {'whole ' if whole else ''}number from {_show(low)} to {_show(high)}"
        case Text(reader=reader):
            return reader.takes if reader else "text"
        case Many():
            return "a list"
        case Table(or_keys=or_keys):
            return "a mapping or a list" if or_keys else "a mapping"
        case Keys() | Kinds():
            return "a mapping"


def _show(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _is_bare(node: Scalar) -> bool:
    """Whether a scalar is something else than text: a number, a truth value, nothing."""
    if not node.plain:
        return False
    if node.text in _NULL or node.text in _TRUTH:
        return True
    return bool(_INTEGER.fullmatch(node.text) or _NUMBER.fullmatch(node.text))


def _mismatch(shape: Shape, node: Node, advice: str = "") -> MismatchError:
    return MismatchError(f"expected {takes(shape)}, found {found(node)}{advice}")
