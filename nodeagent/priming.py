"""Names that a dtab spells out, to be tried before the agent calls itself ready. Pure."""

from __future__ import annotations

from typing import Final

from namer.dtab import Dentry, Dtab
from namer.path import Path

MAX_PRIMED: Final = 200
"""Names of one dtab that are tried."""


def primed_names(dtab: Dtab, prefix: Path) -> list[Path]:
    """Return the logical names that a dtab spells out, longer than `prefix` and without wildcards."""
    found: dict[Path, None] = {}
    for dentry in dtab.dentries:
        name = _literal(dentry)
        if name is not None and name.startswith(prefix) and len(name) > len(prefix):
            found[name] = None
        if len(found) == MAX_PRIMED:  # the rest, which may be long, is not looked at
            break
    return list(found)


def _literal(dentry: Dentry) -> Path | None:
    labels = tuple(element for element in dentry.prefix.elements if isinstance(element, str))
    return Path(labels) if len(labels) == len(dentry.prefix.elements) else None
