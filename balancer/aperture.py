"""Aperture: power of two choices among a few endpoints, as many as the load needs.

With hundreds of endpoints and little traffic, p2c over all of them keeps hundreds of connections barely
used. Aperture looks at the first *k* only, in an order that each process draws for itself, and moves *k* so
that the requests in flight per endpoint stay within a band: at or above *high_load* one more, at or below
*low_load* one fewer, but at least *minimum*. The number in flight is averaged over *smooth_window* seconds.

Source: finagle's ``Aperture`` and ``LoadBand``, with linkerd 1.x's band of 0.5 to 2.0 over 5 s.
"""

from collections.abc import Sequence
from random import Random

from balancer.accrual import Health
from balancer.ema import Ema
from balancer.node import Node
from balancer.p2c import PowerOfChoices
from balancer.picker import Drawn


class Aperture:
    """Picks by p2c among a window of the nodes that widens and narrows with the load."""

    __slots__ = ("_high_load", "_in_flight", "_low_load", "_minimum", "_nodes", "_p2c", "_smoothed", "drawn", "width")

    def __init__(self, rng: Random, smooth_window: float, low_load: float, high_load: float, minimum: int) -> None:
        self._p2c = PowerOfChoices(rng)
        self._smoothed = Ema(smooth_window)
        self._low_load = low_load
        self._high_load = high_load
        self._minimum = minimum
        self._nodes: Sequence[Node] = ()
        self._in_flight = 0
        self.drawn: Drawn = ()
        self.width = minimum
        """How many nodes it picks among; more than there are counts as all."""

    def rebuild(self, nodes: Sequence[Node]) -> None:
        """Choose among *nodes* from now on, and follow their load."""
        # One that is dead and only kept must not be the whole of a narrow aperture.
        self._nodes = sorted(nodes, key=lambda node: (node.accrual.health is not Health.ALIVE, node.rank))
        self._in_flight = sum(node.pending for node in nodes)
        for node in nodes:
            node.follower = self
        self._resize(self.width)

    def pick(self, now: float) -> Node:
        """Return the better of two within the aperture."""
        node = self._p2c.pick(now)
        self.drawn = self._p2c.drawn
        return node

    def begun(self, node: Node, now: float) -> None:  # noqa: ARG002 - it is the sum that counts
        """Count a request in."""
        self._in_flight += 1
        self._adjust(now)

    def ended(self, node: Node, now: float) -> None:  # noqa: ARG002 - it is the sum that counts
        """Count a request out."""
        self._in_flight -= 1
        self._adjust(now)

    def _adjust(self, now: float) -> None:
        """Move by at most one step towards the band."""
        load = self._smoothed.update(self._in_flight, now) / self.width
        if load >= self._high_load and self.width < len(self._nodes):
            self._resize(self.width + 1)
        elif load <= self._low_load and self.width > self._minimum:
            self._resize(self.width - 1)

    def _resize(self, width: int) -> None:
        """Pick among *width* nodes, or as near to that as the nodes and the minimum allow."""
        self.width = max(self._minimum, min(width, len(self._nodes)))
        self._p2c.rebuild(self._nodes[: self.width])
