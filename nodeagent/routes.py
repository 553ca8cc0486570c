"""What a request is named, and whether it goes where a route test expects it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from conf.routes import Asked, Connect, Get, Route
from namer.dtab import Dtab
from namer.path import Path
from nodeagent.explanation import Explanation
from nodeagent.http1.target import check_authority
from nodeagent.proxy.dispatch import local_dtab
from nodeagent.proxy.identify import tunnel_names
from nodeagent.proxy.messages import REQUEST_SPECIAL, RequestHead

SHARE_TOLERANCE = 0.0005
"""Shares are written with a few digits: 0.333 is a third."""

MAX_STEPS = 20
"""Rewrites that a mismatch tells of."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One key of a route that is not as expected."""

    key: str
    expected: str
    found: str


def names_of_request(
    asked: Asked, headers: Mapping[str, str], identify: Callable[[RequestHead], Path], prefix: Path
) -> tuple[tuple[Path, ...], Dtab]:
    """Return the names that a request may mean, best first, and the dentries that it brings along.

    `identify` is the router's, `prefix` its dstPrefix. Raises BadRequest, as the router does.
    """
    special, fields = _split(headers)
    local = local_dtab(special) or Dtab.EMPTY
    match asked:
        case Path():
            return (asked,), local
        case Connect(authority):
            check_authority(authority.encode(), "the CONNECT target")
            return tunnel_names(authority.encode(), prefix), local
        case Get(method, authority, path):
            host = authority.encode() or special.get(b"host", b"")
            if host:
                check_authority(host, "Host")
            head = RequestHead(method.encode(), host, path.encode(), 11, fields, special)
            return (identify(head),), local


def mismatches(route: Route, found: Explanation) -> Iterator[Mismatch]:
    """Compare what is expected of a route with what its name comes to; what is not known yet is never as expected."""
    if route.name is not None and route.name != found.name:
        yield Mismatch("name", route.name.show(), found.name.show())
    unknown = f"; not known yet: {', '.join(path.show() for path in found.unknown)}" if found.unknown else ""
    if route.outcome is not None and (unknown or route.outcome != found.outcome):
        yield Mismatch("outcome", route.outcome, _outcome(found) + unknown)
    shares = shares_of(found)
    if route.bound is not None and (unknown or not _is_split_so(route.bound, shares)):
        yield Mismatch("bound", _show_shares(route.bound), (_show_shares(shares) or _outcome(found)) + unknown)
    endpoints = endpoints_of(found)
    if route.endpoints is not None and (unknown or set(route.endpoints) != set(endpoints)):
        yield Mismatch("endpoints", _show_set(route.endpoints), _show_set(endpoints) + unknown)


def shares_of(found: Explanation) -> dict[Path, float]:
    """The share of the traffic of each concrete name; one that is met in several branches has their sum."""
    shares: dict[Path, float] = {}
    for leaf in found.bound:
        shares[leaf.id] = shares.get(leaf.id, 0.0) + leaf.weight
    return shares


def endpoints_of(found: Explanation) -> tuple[str, ...]:
    """All endpoints behind a name, each once, in order."""
    return tuple(sorted({endpoint.show() for leaf in found.bound for endpoint in leaf.endpoints()}))


def rules_of(found: Explanation) -> Iterator[str]:
    """The rewrites that were tried, in order, each with its rule and what it came to; not without end."""
    for step in found.steps[:MAX_STEPS]:
        yield f"{step.path} by {step.dentry} to {step.to}: {step.result}"
    if len(found.steps) > MAX_STEPS:
        yield f"and {len(found.steps) - MAX_STEPS} more"


def _split(headers: Mapping[str, str]) -> tuple[dict[bytes, bytes], bytes]:
    """The headers as a codec gives them: the special ones by themselves, the others as field lines."""
    special, fields = {}, b""
    for name, value in headers.items():
        key, content = name.lower().encode(), value.encode("utf-8", "surrogateescape")
        if key in REQUEST_SPECIAL:
            special[key] = content
        else:
            fields += b"%b: %b\r\n" % (name.encode(), content)
    return special, fields


def _is_split_so(expected: Mapping[Path, float | None], found: Mapping[Path, float]) -> bool:
    return expected.keys() == found.keys() and all(
        share is None or abs(share - found[id_]) <= SHARE_TOLERANCE for id_, share in expected.items()
    )


def _outcome(found: Explanation) -> str:
    return f"{found.outcome} ({found.error})" if found.error else found.outcome


def _show_shares(shares: Mapping[Path, float | None] | Mapping[Path, float]) -> str:
    shown = [id_.show() if share in (None, 1.0) else f"{id_.show()} {share:.4g}" for id_, share in shares.items()]
    return ", ".join(shown)


def _show_set(endpoints: tuple[str, ...]) -> str:
    return ", ".join(sorted(endpoints)) or "none"
