"""What every way of choosing has in common."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from balancer.node import Node

Drawn: TypeAlias = tuple[Any, ...]
"""The nodes among which one was chosen, each followed by its load just then: node, load, node, load..."""


class Picker(Protocol):
    """Chooses one of some nodes.

    It knows nothing of health: the balancer gives it the nodes that are alive, and when none is, all of them.
    """

    drawn: Drawn
    """What the last pick compared, for whoever explains it; empty where nothing is compared."""

    def rebuild(self, nodes: Sequence[Node]) -> None:
        """Choose among *nodes* from now on; there is at least one."""

    def pick(self, now: float) -> Node:
        """Return the node for the next request."""
