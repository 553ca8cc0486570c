"""Where a bound name is served: endpoints, or the reason why there are none.

Four states, as in finagle (`com.twitter.finagle.Addr`): not known yet, known not to exist, could not be found
out, and known, which may be an empty set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a service. `host` is an IP literal, IPv6 without brackets; `weight` is above 0.

    `priority` 0 is the best; a worse one is for when all of the better ones fail (RFC 2782). `meta` is what the
    source says of it besides: tags, zone, node.
    """

    host: str
    port: int
    weight: float = 1.0
    meta: tuple[tuple[str, str], ...] = ()
    priority: int = 0

    def show(self) -> str:
        """`127.0.0.1:80`, `[::1]:80`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return self.show()


@dataclass(frozen=True, slots=True)
class Refused:
    """An endpoint that must not be connected to, and why; `loop` when that would be the agent itself."""

    endpoint: Endpoint
    why: str
    loop: bool = False


@dataclass(frozen=True, slots=True)
class AddrPending:
    """Not known yet; somebody is finding out."""


@dataclass(frozen=True, slots=True)
class AddrNeg:
    """Known not to exist."""


@dataclass(frozen=True, slots=True)
class AddrFailed:
    """Could not be found out, and nothing was known before."""

    reason: str


@dataclass(frozen=True, slots=True)
class AddrBound:
    """Known. The set may be empty: the name exists and nobody serves it, or all who do are `refused`."""

    endpoints: tuple[Endpoint, ...]
    refused: tuple[Refused, ...] = ()


Addr: TypeAlias = AddrPending | AddrNeg | AddrFailed | AddrBound
