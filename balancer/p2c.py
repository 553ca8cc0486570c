"""Power of two choices: draw two different endpoints, take the one with less load.

Nearly as even as asking all of them, at constant cost, and without the herd that forms when everybody runs
to the one that looked best. The load is whatever the nodes' metric says: requests in flight (``p2c``) or peak
EWMA (``ewma``).

Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001); finagle's ``P2CPick``.
"""

from collections.abc import Sequence
from random import Random

from balancer.node import Node


class PowerOfTwoChoices:
    """Picks the less loaded of two nodes drawn at random; the first drawn when they are level."""

    __slots__ = ("_nodes", "_random")

    def __init__(self, rng: Random) -> None:
        self._random = rng.random
        self._nodes: Sequence[Node] = ()

    def rebuild(self, nodes: Sequence[Node]) -> None:
        """Choose among *nodes* from now on."""
        self._nodes = nodes

    def pick(self, now: float) -> Node:
        """Return the better of two."""
        nodes = self._nodes
        count = len(nodes)
        if count == 1:
            return nodes[0]
        random = self._random
        first = int(random() * count)
        second = int(random() * (count - 1))
        if second >= first:
            second += 1
        a = nodes[first]
        b = nodes[second]
        return b if b.metric.load(b.pending, now) < a.metric.load(a.pending, now) else a
