"""`/$/io.buoyant.http.*`: names of HTTP requests taken apart, and names that are answered with a status.

The functions rewrite a path that comes without the namer's prefix, or give None where it is not of their
form. Forms and patterns are linkerd 1.x's (`io.buoyant.http`).
"""

from __future__ import annotations

import re
from typing import Final

from namer.addr import AddrBound
from namer.cell import Cell
from namer.namer import Bound, NameState
from namer.nametree import NEG, Leaf
from namer.path import Path

STATUS_PREFIX: Final = Path(("$", "io.buoyant.http.status"))

_METHOD = re.compile(r"[A-Z]+")
_HOST = re.compile(r"[A-Za-z0-9.:_-]+")
_STATUS = re.compile(r"[2-5][0-9][0-9]")


def any_method(path: Path) -> Path | None:
    """`/GET/rest` to `/rest`."""
    return path[1:] if _is(_METHOD, path, 0) else None


def any_method_pfx(path: Path) -> Path | None:
    """`/pfx/GET/rest` to `/pfx/rest`."""
    return path[:1] + path[2:] if _is(_METHOD, path, 1) else None


def any_host(path: Path) -> Path | None:
    """`/foo.example.org/rest` to `/rest`."""
    return path[1:] if _is(_HOST, path, 0) else None


def any_host_pfx(path: Path) -> Path | None:
    """`/pfx/foo.example.org/rest` to `/pfx/rest`."""
    return path[:1] + path[2:] if _is(_HOST, path, 1) else None


def subdomain_of(path: Path) -> Path | None:
    """`/example.org/foo.example.org/rest` to `/foo/rest`; a port behind the host is dropped."""
    subdomain = _subdomain(path, 0, 1)
    return Path((subdomain,)) + path[2:] if subdomain else None


def subdomain_of_pfx(path: Path) -> Path | None:
    """`/example.org/pfx/foo.example.org/rest` to `/pfx/foo/rest`; a port behind the host is dropped."""
    subdomain = _subdomain(path, 0, 2)
    return Path((path[1], subdomain)) + path[3:] if subdomain else None


def domain_to_path(path: Path) -> Path | None:
    """`/foo.example.org/rest` to `/org/example/foo/rest`."""
    labels = _reversed_domain(path, 0)
    return Path(labels) + path[1:] if labels else None


def domain_to_path_pfx(path: Path) -> Path | None:
    """`/pfx/foo.example.org/rest` to `/pfx/org/example/foo/rest`."""
    labels = _reversed_domain(path, 1)
    return path[:1] + Path(labels) + path[2:] if labels else None


class StatusNamer:
    """`/418`: a name that nobody serves. Its id tells the proxy to answer with that status itself."""

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix

    def lookup(self, path: Path) -> Cell[NameState]:
        """Bound, with no endpoint, for a status from 200 to 599; Neg for anything else."""
        if not _is(_STATUS, path, 0):
            return Cell.constant(NEG)
        return Cell.constant(Leaf(Bound(self._prefix + path[:1], path[1:], Cell.constant(AddrBound(())))))


def is_status(id: Path) -> bool:  # noqa: A002
    """Whether a concrete name is an answer, and so needs no endpoint."""
    return len(id) == 3 and id[:2] == STATUS_PREFIX and _is(_STATUS, id, 2)


def _is(form: re.Pattern[str], path: Path, index: int) -> bool:
    return len(path) > index and form.fullmatch(path[index]) is not None


def _subdomain(path: Path, domain: int, host: int) -> str | None:
    if not (_is(_HOST, path, domain) and _is(_HOST, path, host)):
        return None
    name = path[host].partition(":")[0]
    subdomain = name.removesuffix(f".{path[domain]}")
    return subdomain if subdomain != name else None


def _reversed_domain(path: Path, index: int) -> tuple[str, ...]:
    if not _is(_HOST, path, index):
        return ()
    labels = path[index].rstrip(".").split(".")
    return tuple(reversed(labels)) if all(labels) else ()
