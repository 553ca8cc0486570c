"""Slow start: an endpoint that is new, or alive again, takes its share little by little.

A cold process is slow and easily drowned, and an endpoint of which nothing is known looks idle, so that everybody runs
to it. For the first *seconds* it therefore takes no more than a part of its fair share (its weight among all), which
grows from ``AT_FIRST`` to 1, whatever way of choosing has chosen it. The part is relative to that of whoever has been
there the longest: when all are new, none holds back. Endpoints that are there from the beginning are not new.

Precedent: HAProxy's ``slowstart``, Envoy's ``slow_start_config`` (its minimum of 10 %), and the complaint that the
latter does nothing good when all endpoints are new.
"""

from collections.abc import Collection
from math import inf

from balancer.node import Node

AT_FIRST = 0.1
"""The part of its share that a new endpoint takes at once: something has to be learnt of it."""


class _New:
    """A new endpoint: since when, and the number of the last request that it took."""

    __slots__ = ("last", "since")

    def __init__(self, since: float, last: int) -> None:
        self.since = since
        self.last = last


class Warmup:
    """Which endpoints are new, and whether they may take a request."""

    __slots__ = ("_new", "_oldest", "_seconds", "_weight", "ends_at", "requests")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._new: dict[Node, _New] = {}
        self._oldest: float | None = None
        """Since when the oldest of those that get traffic is new, when all of them are."""
        self._weight = 0.0
        """Of all that get traffic."""
        self.ends_at = -inf
        """When the last of them takes its whole share."""
        self.requests = 0
        """How many came while there was a new endpoint: who picks counts them."""

    def begin(self, node: Node, now: float) -> None:
        """Take *node* for new from *now* on."""
        if self._seconds > 0:
            self._new[node] = _New(now, self.requests)
            self.ends_at = now + self._seconds

    def forget(self, node: Node) -> None:
        """Let go of an endpoint that is gone."""
        self._new.pop(node, None)

    def compare(self, candidates: Collection[Node], now: float) -> None:
        """Hear which endpoints get traffic from now on: what a fair share is, and whether all are new."""
        if now >= self.ends_at:
            self._new.clear()
        if self._new:
            self._weight = sum(node.endpoint.weight for node in candidates)
            new = [self._new[node].since for node in candidates if node in self._new]
            self._oldest = min(new) if new and len(new) == len(candidates) else None

    def part(self, node: Node, now: float) -> float:
        """Return the part of its share that *node* may take, above 0 and at most 1."""
        new = self._new.get(node)
        if new is None:
            return 1.0
        ramp = self._ramp(new.since, now)
        return ramp if self._oldest is None else min(1.0, ramp / self._ramp(self._oldest, now))

    def accepts(self, node: Node, now: float) -> bool:
        """Tell whether *node*, which was chosen, takes the request; then it counts as taken."""
        part = self.part(node, now)
        if part >= 1.0:
            return True
        new = self._new[node]
        if (self.requests - new.last) * node.endpoint.weight * part < self._weight:
            return False
        new.last = self.requests
        return True

    def _ramp(self, since: float, now: float) -> float:
        return min(1.0, max(AT_FIRST, (now - since) / self._seconds))
