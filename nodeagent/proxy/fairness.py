"""How much of what is bounded one caller may have. Pure.

Below a bound everybody takes what they like: a caller who is alone is not held back. At the bound, who has less than an
equal part of it gets in all the same, up to an eighth beyond; who has more does not, and so loses what it gives back to
the others. Nobody is stopped in the middle of something for that; only connections on which nothing is under way are
closed, those of who has most than its part, as nginx does when its `worker_connections` are used up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Protocol, TypeVar

from nodeagent.proxy.caller import Caller

SPARE: Final = 8
"""What may be used beyond a bound is one part of so many, and at least one."""

RESERVE: Final = 256
"""Descriptors for the admin port, discovery and files; a quarter of them all where there are few."""


def has_place(bound: float, used: int, held: int, callers: int) -> bool:
    """Tell whether a caller who holds so many may have one more, where so many `callers` use so many in all."""
    if used < bound:
        return True
    return callers > 1 and held * callers < bound and used < beyond(bound)


def beyond(bound: float) -> float:
    """Return how many are used at most."""
    return bound + max(1, bound // SPARE)


def connections_within(descriptors: int) -> int:
    """Return the bound for connections of callers when a process may have so many descriptors, at least 1.

    A third is left for connections to endpoints: of callers' connections most idle. (HAProxy, which reckons with one to
    an endpoint for each when it is given no `maxconn`, leaves half.)
    """
    room = (descriptors - min(RESERVE, descriptors // 4)) * 2 // 3
    return max(1, room * SPARE // (SPARE + 1))


class Account:
    """What one caller has."""

    __slots__ = ("caller", "connections", "requests")

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.connections = 0
        self.requests = 0
        """Under way."""


class Held(Protocol):
    """What is somebody's."""

    @property
    def account(self) -> Account:
        """Whose it is."""
        ...


H = TypeVar("H", bound=Held)


class Accounts:
    """Who has how many connections, of at most `bound`."""

    def __init__(self, bound: float = math.inf) -> None:
        self.bound = bound
        self.connections = 0
        self._by_caller: dict[Caller, Account] = {}

    def __len__(self) -> int:
        """How many callers there are."""
        return len(self._by_caller)

    def has_place(self, caller: Caller) -> bool:
        """Tell whether a caller may open one more."""
        if self.connections < self.bound:
            return True
        found = self._by_caller.get(caller)
        if found is None:
            return has_place(self.bound, self.connections, 0, len(self) + 1)
        return has_place(self.bound, self.connections, found.connections, len(self))

    def open(self, caller: Caller) -> Account:
        """Count a connection in; return whose it is. After that `close` must follow."""
        account = self._by_caller.get(caller)
        if account is None:
            account = self._by_caller[caller] = Account(caller)
        account.connections += 1
        self.connections += 1
        return account

    def close(self, caller: Caller) -> None:
        """Count a connection out."""
        account = self._by_caller[caller]
        account.connections -= 1
        self.connections -= 1
        if not account.connections:
            del self._by_caller[caller]

    def surplus(self, idle: Iterable[H]) -> list[H]:
        """Return which of those that are `idle`, the first ones first, should go so that others get in.

        None below the bound. At it, so many that an eighth of it is free, of callers who have more than an equal part
        of the rest.
        """
        if self.connections < self.bound:
            return []
        most = self.bound - max(1, self.bound // SPARE)
        left = {caller: account.connections for caller, account in self._by_caller.items()}
        used, part, gone = self.connections, most / len(left), []
        for each in idle:
            if used <= most:
                break
            caller = each.account.caller
            if left[caller] > part:
                left[caller] -= 1
                used -= 1
                gone.append(each)
        return gone
