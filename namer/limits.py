"""How much work one name may be: tables come from operators, but also from request headers.

A chain of rewrites is followed as far as in finagle. The other limits are generous against any honest table,
and keep a hostile one (`/a => /a & /a`) to some milliseconds; whoever exceeds them gets no name at all.
"""

from __future__ import annotations

from typing import Final

from namer.namer import Failure
from namer.path import Path

MAX_DEPTH: Final = 100  # rewrites on the way from a name to a bound name
MAX_STEPS: Final = 10_000  # tree nodes evaluated for one name, over all branches
MAX_LABELS: Final = 1_000  # in a rewritten path
MAX_NESTING: Final = 100  # trees inside trees, over all rewrites on the way

_SHOWN_LABELS: Final = 20
_SHOWN_CHARS: Final = 200


class LimitExceededError(Exception):
    """A name takes more work than any is given."""


def extend(path: Path, residual: Path) -> Path:
    """The path with the residual behind it. Raises LimitExceededError when it grows too long."""
    if len(path) + len(residual) > MAX_LABELS:
        raise LimitExceededError(f"{_clip(path + residual)}: rewritten to more than {MAX_LABELS} labels")
    return path + residual


def check_limits(evaluated: int, nesting: int) -> None:
    """Raises LimitExceededError when one name has taken too much work."""
    if evaluated > MAX_STEPS:
        raise LimitExceededError(f"more than {MAX_STEPS} steps for one name: the dtab multiplies branches")
    if nesting > MAX_NESTING:
        raise LimitExceededError(f"trees nested more than {MAX_NESTING} deep for one name")


def too_deep(path: Path) -> Failure:
    """A name that is rewritten without end."""
    return Failure(
        f"{_clip(path)}: rewritten {MAX_DEPTH} times without an end: the dtab goes in a circle", lasting=True
    )


def _clip(path: Path) -> str:
    shown = path[:_SHOWN_LABELS].show()
    whole = len(path) <= _SHOWN_LABELS and len(shown) <= _SHOWN_CHARS
    return shown if whole else f"{shown[:_SHOWN_CHARS]}..."
