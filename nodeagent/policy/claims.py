"""What a token says of its owner, as rules ask for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Claims: TypeAlias = Mapping[str, Any]


def values_of(claims: Claims, name: str) -> frozenset[str]:
    """Return the values of a claim as text; of a list each, of `scope` each word (RFC 8693, 4.2)."""
    value = claims.get(name)
    if name == "scope" and isinstance(value, str):
        return frozenset(value.split(" "))
    values = value if isinstance(value, list) else [value]
    return frozenset(_text(each) for each in values if isinstance(each, str | bool | int))


def _text(value: str | bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def bearer(authorization: bytes | None) -> str | None:
    """Return the token of an `Authorization` field (RFC 6750, 2.1); None where it has none. It may be no token."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(b" ")
    return token.strip(b" ").decode("latin-1") if scheme.lower() == b"bearer" else None
