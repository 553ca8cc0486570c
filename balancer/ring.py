"""Ring hash: requests with the same key go to the same endpoint, and a change of endpoints moves few keys.

Each endpoint has points on a circle, the more the heavier it is, and a key belongs to the endpoint whose point comes
next after the key's own place. The keys of an endpoint that may not be used go on to the next one, and come back when
it may; those of the others stay where they are. Places are hashes of the text of an address and of the key, so every
agent has the same ring, in whatever order discovery names the endpoints.

* An endpoint of the largest weight has ``POINTS`` to twice as many, others in proportion. The measure is a power of
  two, so it stays when an endpoint comes, goes or changes its weight, unless that one is much heavier than the rest.
* There are about ``MAX_POINTS`` at most, so from 128 endpoints on each has fewer. A fraction of a point is one
  point with that probability, drawn by a hash: so a change of their number takes a point from few of them.
* How even it is: with 128 points the share of an endpoint strays by 9 % (one standard deviation), with 16 by 25 %.

Source: Karger and others, "Consistent Hashing and Random Trees" (1997); ketama; Envoy's ``ring_hash``.
"""

import struct
from array import array
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from math import frexp, ldexp

from balancer.node import Node

POINTS = 128
"""Points of an endpoint of an ordinary weight, between nginx's 160 and Envoy's 100 for ten endpoints."""

MAX_POINTS = 16_384
"""Points of a whole ring: some 15 ms to make, 200 KB to keep. Envoy makes 1024 of them unless asked for more."""

FARTHEST = 64
"""Endpoints that a look-up passes over at most: beyond, nearly all are out of use and one is as good as another."""

_EIGHT = struct.Struct(">8Q").unpack
_WHOLE = 2.0**64


class Ring:
    """The endpoints on their circle. Immutable; made in O(p log p), asked in O(log p), p being the points."""

    __slots__ = ("_nodes", "_owners", "_points")

    def __init__(self, nodes: Sequence[Node]) -> None:
        """Put *nodes* on a circle; those of weight 0 only when there is no other."""
        heavy = [node for node in nodes if node.endpoint.weight > 0] or nodes
        self._nodes = sorted(heavy, key=lambda node: node.endpoint.show())
        owner: dict[int, int] = {}
        for index, (node, count) in enumerate(zip(self._nodes, _counts(self._nodes), strict=True)):
            owner |= dict.fromkeys(_points(node.endpoint.show(), count), index)  # the last name wins, on every host
        order = sorted(owner)
        self._points = array("Q", order)
        self._owners = array("I", [owner[point] for point in order])

    def lookup(self, key: bytes, usable: Callable[[Node], bool]) -> Node | None:
        """Return the first usable node from the place of *key* on; None when the ``FARTHEST`` next ones are not."""
        nodes, owners = self._nodes, self._owners
        start = bisect(self._points, place_of(key))
        passed: set[int] = set()
        for at in chain(range(start, len(owners)), range(min(start, len(owners)))):
            index = owners[at]
            if index in passed:
                continue
            if usable(nodes[index]):
                return nodes[index]
            passed.add(index)
            if len(passed) in (FARTHEST, len(nodes)):
                break
        return None

    def __len__(self) -> int:
        return len(self._points)


class Rings:
    """The rings of one set of endpoints, one for each priority, each made when it is first asked."""

    __slots__ = ("_made", "_nodes")

    def __init__(self) -> None:
        self._nodes: Sequence[Node] = ()
        self._made: dict[int, Ring] = {}

    def rebuild(self, nodes: Sequence[Node]) -> None:
        """Choose among *nodes* from now on. Health is no reason to call this: a look-up passes by who is not usable."""
        self._nodes = nodes
        self._made = {}

    def lookup(self, key: bytes, priority: int, usable: Callable[[Node], bool]) -> Node | None:
        """As ``Ring.lookup``, among the nodes of one *priority*."""
        ring = self._made.get(priority)
        if ring is None:
            ring = self._made[priority] = Ring([node for node in self._nodes if node.endpoint.priority == priority])
        return ring.lookup(key, usable)


def place_of(key: bytes) -> int:
    """Return the place of *key* on every ring, 0 to 2^64 - 1: the same in each process and on each host."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big")


def turn_of(key: bytes) -> float:
    """Return when, from 0 to 1 of its slow start, a new endpoint takes *key*: the same everywhere."""
    return int.from_bytes(blake2b(key, digest_size=8, person=b"slow start").digest(), "big") / _WHOLE


def _counts(nodes: Sequence[Node]) -> Iterator[int]:
    """Return how many points each of *nodes* has, by the weights."""
    weights = [node.endpoint.weight or 1.0 for node in nodes]  # 0 is there only when all are 0
    unit = _power_of_two(max(weights, default=1.0))
    each = min(POINTS, MAX_POINTS * unit / (sum(weights) or unit))
    for node, weight in zip(nodes, weights, strict=True):
        chance = place_of(node.endpoint.show().encode()) / _WHOLE
        yield max(1, int(each * weight / unit + chance))


def _power_of_two(number: float) -> float:
    """Return the largest power of two that is not above *number*."""
    return ldexp(1.0, frexp(number)[1] - 1)


def _points(name: str, count: int) -> list[int]:
    """Return the first *count* places of an endpoint, eight from a hash. Fewer are the beginning of more."""
    places: list[int] = []
    for block in range(-(-count // 8)):
        places += _EIGHT(blake2b(f"{name}#{block}".encode()).digest())
    return places[:count]
