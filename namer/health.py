"""Whether a concrete name can take traffic: what lets an alternative be passed over.

linkerd 1.x and finagle fall back on names alone: a branch whose every endpoint is dead still takes the traffic
(twitter/finagle#653). Here a branch without a usable endpoint is passed over, and taken again when it has one.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeAlias

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending
from namer.cell import Cell
from namer.http import is_status
from namer.namer import Bound


class Health(Enum):
    """What is known of the endpoints of a concrete name."""

    UNKNOWN = "unknown"
    """Nothing yet: it is waited for."""
    USABLE = "usable"
    """There is one that takes traffic."""
    UNUSABLE = "unusable"
    """There is none now: nothing resolved, or all of them are ejected or refuse."""
    ABSENT = "absent"
    """The host or service does not exist: as if nobody knew the name."""


Assess: TypeAlias = Callable[[Bound], tuple[Health, Cell[Any]]]
"""The health of a concrete name now, and the cell that changes when it does."""


def by_addresses(bound: Bound) -> tuple[Health, Cell[Any]]:
    """What the addresses alone tell: for whoever has never called the endpoints."""
    if is_status(bound.id):
        return Health.USABLE, bound.addr
    return health_of(bound.addr.value), bound.addr


def health_of(addr: Addr) -> Health:
    """What an address tells of the health of its name: any endpoint may well be usable."""
    match addr:
        case AddrPending():
            return Health.UNKNOWN
        case AddrNeg():
            return Health.ABSENT
        case AddrFailed() | AddrBound(()):
            return Health.UNUSABLE
        case AddrBound():
            return Health.USABLE
