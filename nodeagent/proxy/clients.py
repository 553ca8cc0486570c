"""The clients of a router: one for each concrete name, shared by all logical names that lead there.

Bounded, and never the reason of an error: when there are too many, one that no name holds leaves, and while all are
held there is one more than the limit. One that no name held for `idle_ttl` leaves too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import trio

from namer.namer import Bound, BoundKey
from namer.path import Path
from nodeagent.proxy.balance import Client

AT_A_TIME: Final = 50
"""Clients, or names, that a sweep looks after before others get a turn: 2 ms when all names are out of date."""


@dataclass(slots=True)
class CacheCounts:
    """What a cache did so far."""

    misses: int = 0
    evicts: int = 0
    expires: int = 0


class Clients(Mapping[BoundKey, Client]):
    """Clients by what is served there. Who uses one counts itself in `Client.users`."""

    def __init__(self, limit: int, idle_ttl: float, make: Callable[[Bound], Client]) -> None:
        """Keep at most `limit`; one that nobody uses for `idle_ttl` seconds is let go."""
        self._limit = limit
        self._idle_ttl = idle_ttl
        self._make = make
        self._clients: dict[BoundKey, Client] = {}
        self.counts = CacheCounts()

    def __getitem__(self, key: BoundKey) -> Client:
        return self._clients[key]

    def __iter__(self) -> Iterator[BoundKey]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    def of(self, bound: Bound) -> Client:
        """Return what calls a concrete name, made now when it is not there."""
        client = self._clients.get(bound.key)
        if client is None:
            self.counts.misses += 1
            if len(self._clients) >= self._limit:
                self._evict()
            client = self._clients[bound.key] = self._make(bound)
        return client

    def named(self, id: Path) -> Client | None:  # noqa: A002
        """Return what calls the concrete name with this id, None when no bound name leads there."""
        return next((client for client in self._clients.values() if client.id == id), None)

    async def sweep(self, now: float) -> None:
        """Close connections that idled long, and let go of what nobody uses. Others get their turn in between.

        Cancelling is safe.
        """
        for number, (key, client) in enumerate(tuple(self._clients.items())):
            if number % AT_A_TIME == 0:
                await trio.lowlevel.checkpoint()
            if self._clients.get(key) is client:
                self._look_after(key, client, now)

    def close(self) -> None:
        """Let go of all."""
        while self._clients:
            self._clients.popitem()[1].close()

    def _look_after(self, key: BoundKey, client: Client, now: float) -> None:
        client.expire(now)
        if client.users:
            client.idle_since = now
        elif now - client.idle_since >= self._idle_ttl:
            self._clients.pop(key).close()
            self.counts.expires += 1

    def _evict(self) -> None:
        """Let go of the longest known that nobody uses, if there is one."""
        for key, client in self._clients.items():
            if not client.users:
                self.counts.evicts += 1
                self._clients.pop(key).close()
                return
