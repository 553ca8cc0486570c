"""What every way of choosing has in common."""

from collections.abc import Sequence
from typing import Protocol

from balancer.node import Node


class Picker(Protocol):
    """Chooses one of some nodes.

    It knows nothing of health: the balancer gives it the nodes that are alive, and when none is, all of them.
    """

    def rebuild(self, nodes: Sequence[Node]) -> None:
        """Choose among *nodes* from now on; there is at least one."""

    def pick(self, now: float) -> Node:
        """Return the node for the next request."""
