"""Certificates by the name that a client asks for (SNI, RFC 6066, 3). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def by_name(known: Mapping[str, T], asked: str) -> T | None:
    """Return what there is for the name `asked`: under itself, else under a wildcard for its first label.

    Names are in lower case (RFC 9525, 6.3). None when there is nothing.
    """
    name = asked.lower().removesuffix(".")
    found = known.get(name)
    if found is None:
        _, dot, rest = name.partition(".")
        found = known.get(f"*.{rest}") if dot else None
    return found
