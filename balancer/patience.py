"""What a request says of its endpoint that nobody waited for any more.

As a rule nothing (finagle): people and programs change their minds. But one that was out for much longer than requests
to these endpoints take, while another endpoint answered in time what it got later, has met one that does not answer:
that is a failure. When none answers in time, because all are overloaded or the agent itself was held up, none is to
blame. Less is enough when it was a copy of the request that was answered first (hedging).
"""

from collections.abc import Iterable

from balancer.node import Node
from balancer.response_class import ResponseClass

LEAST = 0.5
"""Seconds after which giving up may be the endpoint's fault."""

UNUSUAL = 3.0
"""How many times longer than requests take here is out of the ordinary."""

OUTRUN = 1.5
"""The same when another endpoint was faster with what it got later: that proves that it need not take so long."""

SMOOTHING = 0.05
"""Weight of one request in what requests take here: the last twenty count most."""


class Patience:
    """What requests to one set of endpoints take, and whose fault it is when somebody gives up."""

    __slots__ = ("usual",)

    def __init__(self) -> None:
        self.usual = 0.0
        """Seconds that requests take here; 0 while nothing is known."""

    def served(self, node: Node, started: float, now: float) -> None:
        """Learn from a request to *node* that was served."""
        node.served_from, node.served_at = started, now
        usual = self.usual
        self.usual = usual + (now - started - usual) * SMOOTHING if usual else now - started

    def blames(self, outcome: ResponseClass, node: Node, started: float, now: float, nodes: Iterable[Node]) -> bool:
        """Tell whether the end, GIVEN_UP or LOST, of a request to *node*, one of *nodes*, is a failure of it."""
        limit = OUTRUN * self.usual if outcome is ResponseClass.LOST else max(LEAST, UNUSUAL * self.usual)
        return now - started >= limit and any(
            other.served_from > started and other.served_at - other.served_from < limit and other is not node
            for other in nodes
        )
