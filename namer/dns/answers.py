"""What the DNS says of a name, and for how long that holds. Pure.

    Reply           what one server said, with the TTL that came with it
    Found           there are records
    Nothing         it is sure that there are none: no such name, or none of that type
    Failed          nobody could say

The last three are a resolver's: they hold until `expires`. A TTL is kept within a floor and a ceiling, a negative one
below a ceiling of its own (RFC 2308, section 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeAlias, TypeVar

MAX_RECORDS: Final = 1000
"""As many records of a name are used; more than that do not fit into a balancer's idea of a service."""

Kind: TypeAlias = Literal["A", "AAAA", "SRV"]


@dataclass(frozen=True, slots=True, order=True)
class Srv:
    """One SRV record (RFC 2782). `target` is a full name that ends in a dot; a dot alone is "no such service"."""

    priority: int
    weight: int
    port: int
    target: str


Record: TypeAlias = str | Srv
R = TypeVar("R", bound=Record)


class ServerFailed(Exception):
    """A server did not answer, or not so that it helps; another one may. The text follows the server's name."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What one server said: addresses or SRV records, sorted, and the TTL of the whole chain in seconds.

    Without records `exists` tells whether there is such a name at all. `surplus` records were left out.
    """

    records: tuple[Record, ...]
    ttl: int
    exists: bool = True
    surplus: int = 0


@dataclass(frozen=True, slots=True)
class Found(Generic[R]):
    """Records, at least one. `at` and `expires` are seconds of the trio clock; `flaw` is what is wrong with them."""

    records: tuple[R, ...]
    at: float
    expires: float
    flaw: str | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """There are no such records; when not even the name `exists`, there are none of any type (RFC 8020)."""

    exists: bool
    at: float
    expires: float


@dataclass(frozen=True, slots=True)
class Failed:
    """It could not be found out, for a reason that is told to people."""

    reason: str
    at: float
    expires: float


Answer: TypeAlias = Found[R] | Nothing | Failed


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Bounds of how long answers hold, in seconds."""

    floor: float = 1.0
    ceiling: float = 300.0
    negative_ceiling: float = 30.0

    def answer(self, reply: Reply, now: float) -> Found[Record] | Nothing:
        """The answer that a reply is, received `now`."""
        if not reply.records:
            return Nothing(reply.exists, now, now + max(self.floor, min(reply.ttl, self.negative_ceiling)))
        flaw = f"{reply.surplus} records more than the {MAX_RECORDS} that are used" if reply.surplus else None
        return Found(reply.records, now, now + max(self.floor, min(reply.ttl, self.ceiling)), flaw)


def nothing_of(answers: Sequence[Nothing]) -> Nothing:
    """What several names say together when none of them has records: as long as each of them holds."""
    return Nothing(
        exists=any(answer.exists for answer in answers),
        at=min(answer.at for answer in answers),
        expires=min(answer.expires for answer in answers),
    )
