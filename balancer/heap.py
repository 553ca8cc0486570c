"""Strict least loaded: always an endpoint with the fewest requests in flight.

The kind is called ``heap`` after finagle's ``HeapLeastLoaded``, which needs O(log n) for each request. Load
here moves by one at a time, so a queue of buckets, one for each number of requests in flight, keeps the
minimum in O(1). Within a bucket the node that waited longest comes first, so idle endpoints take turns.
"""

from collections.abc import Sequence

from balancer.node import Node
from balancer.picker import Drawn

_Bucket = dict[Node, None]  # a set that keeps its order


class HeapLeastLoaded:
    """Picks a node with the fewest requests in flight."""

    __slots__ = ("_buckets", "_least", "drawn")

    def __init__(self) -> None:
        self._buckets: list[_Bucket] = []
        self._least = 0
        self.drawn: Drawn = ()

    def rebuild(self, nodes: Sequence[Node]) -> None:
        """Choose among *nodes* from now on, and follow their load."""
        self._least = min(node.pending for node in nodes)
        self._buckets = [{} for _ in range(1 + max(node.pending for node in nodes))]
        for node in nodes:
            node.follower = self
            self._buckets[node.pending][node] = None

    def pick(self, now: float) -> Node:  # noqa: ARG002 - the count does not age
        """Return the first of the least loaded."""
        return next(iter(self._buckets[self._least]))

    def begun(self, node: Node, now: float) -> None:  # noqa: ARG002
        """Move *node* one bucket up."""
        pending = node.pending
        if pending == len(self._buckets):
            self._buckets.append({})
        self._buckets[pending][node] = None
        below = self._buckets[pending - 1]
        del below[node]
        if not below and self._least == pending - 1:
            self._least = pending

    def ended(self, node: Node, now: float) -> None:  # noqa: ARG002
        """Move *node* one bucket down."""
        pending = node.pending
        del self._buckets[pending + 1][node]
        self._buckets[pending][node] = None
        self._least = min(self._least, pending)
