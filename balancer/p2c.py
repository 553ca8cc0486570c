"""Power of two choices: draw two different endpoints, or a few more, and take the one with the least load.

Nearly as even as asking all of them, at constant cost, and without the herd that forms when everybody runs
to the one that looked best. The load is whatever the nodes' metric says: requests in flight (``p2c``) or peak
EWMA (``ewma``). A third choice matters where endpoints differ: two draws of ten leave out the fastest eight times of
ten, and are both among the three slowest in one of fifteen.

Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001); finagle's ``P2CPick``.
"""

from collections.abc import Sequence
from random import Random

from balancer.node import Node
from balancer.picker import Drawn


class PowerOfChoices:
    """Picks the least loaded of *choices* nodes drawn at random; the first drawn when they are level."""

    __slots__ = ("_choices", "_nodes", "_random", "drawn")

    def __init__(self, rng: Random, choices: int = 2) -> None:
        self._random = rng.random
        self._choices = choices
        self._nodes: Sequence[Node] = ()
        self.drawn: Drawn = ()

    def rebuild(self, nodes: Sequence[Node]) -> None:
        """Choose among *nodes* from now on."""
        self._nodes = nodes

    def pick(self, now: float) -> Node:
        """Return the best of those drawn."""
        nodes = self._nodes
        count = len(nodes)
        if count == 1:
            self.drawn = ()
            return nodes[0]
        random = self._random
        first = int(random() * count)
        second = int(random() * (count - 1))
        if second >= first:
            second += 1
        best = nodes[first]
        other = nodes[second]
        least = best.metric.load(best.pending, now)
        load = other.metric.load(other.pending, now)
        drawn = (best, least, other, load)
        if load < least:
            best, least = other, load
        if count == 2 or self._choices == 2:
            self.drawn = drawn
            return best
        third = int(random() * (count - 2))
        if third >= (min(second, first)):
            third += 1
        if third >= (max(first, second)):
            third += 1
        other = nodes[third]
        load = other.metric.load(other.pending, now)
        self.drawn = (*drawn, other, load)
        if load < least:
            best, least = other, load
        if count == 3 or self._choices == 3:
            return best
        return self._best_of_more(best, least, [first, second, third], now)

    def _best_of_more(self, best: Node, least: float, drawn: list[int], now: float) -> Node:
        """Draw the rest of the choices; *best*, of load *least*, is the best of those *drawn* so far."""
        nodes = self._nodes
        wanted = min(self._choices, len(nodes))
        while len(drawn) < wanted:
            index = int(self._random() * len(nodes))
            if index in drawn:
                continue
            drawn.append(index)
            node = nodes[index]
            load = node.metric.load(node.pending, now)
            self.drawn += (node, load)
            if load < least:
                best, least = node, load
        return best
