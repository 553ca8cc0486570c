"""Round robin: each endpoint in its turn, in the order of discovery, whatever its load."""

from collections.abc import Sequence

from balancer.node import Node
from balancer.picker import Drawn


class RoundRobin:
    """Picks the nodes in order. A change of the nodes does not start the order anew."""

    __slots__ = ("_next", "_nodes", "drawn")

    def __init__(self) -> None:
        self._nodes: Sequence[Node] = ()
        self._next = 0
        self.drawn: Drawn = ()

    def rebuild(self, nodes: Sequence[Node]) -> None:
        """Choose among *nodes* from now on."""
        self._nodes = nodes

    def pick(self, now: float) -> Node:  # noqa: ARG002 - its turn comes at any time
        """Return the next one."""
        index = self._next % len(self._nodes)
        self._next = index + 1
        return self._nodes[index]
