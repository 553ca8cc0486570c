"""One endpoint as its balancer sees it."""

from math import inf
from typing import Protocol

from balancer.accrual import FailureAccrual
from balancer.load import Metric
from namer.addr import Endpoint


class Follower(Protocol):
    """A picker that keeps its endpoints in order of load and so must hear of each change."""

    def begun(self, node: "Node", now: float) -> None:
        """Hear that a request began on *node*; its ``pending`` counts it already."""

    def ended(self, node: "Node", now: float) -> None:
        """Hear that a request ended on *node*; its ``pending`` counts it no more."""


class Node:
    """An endpoint and what is known of it: load, health, connections.

    It lives as long as discovery names its host and port. ``pool``, ``trouble`` and ``transport`` belong to the proxy,
    which keeps there the endpoint's connections, and words for why it is not alive and how it was reached last; no
    decision depends on them.
    """

    __slots__ = (
        "accrual",
        "endpoint",
        "follower",
        "metric",
        "pending",
        "pool",
        "rank",
        "served_at",
        "served_from",
        "transport",
        "trouble",
    )

    def __init__(self, endpoint: Endpoint, metric: Metric, accrual: FailureAccrual, rank: float) -> None:
        self.endpoint = endpoint
        self.metric = metric
        self.accrual = accrual
        self.rank = rank
        """A random number that orders endpoints differently in each process."""
        self.pending = 0
        """Requests in flight."""
        self.served_from = self.served_at = -inf
        """When the request began, and was answered, that was served last."""
        self.pool: object | None = None
        self.trouble: str | None = None
        self.transport: str | None = None
        self.follower: Follower | None = None
        """The picker to tell of load changes, while it chooses among nodes that include this one."""

    def __repr__(self) -> str:
        return f"<Node {self.endpoint.show()} {self.accrual.health.value} pending={self.pending}>"
