"""Whether a request may go elsewhere, and which endpoints have room when the connections to each are bounded. Pure.

A client whose `hostConnectionPool` has a `maxSize` picks by room: else a request would wait behind one endpoint for
what another could give it now. Precedent: HAProxy passes over servers that are at their `maxconn`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from balancer.accrual import Health
from balancer.balancer import Balancer
from balancer.node import Node
from nodeagent.proxy.pool import Pool


def pick_with_room(balancer: Balancer, now: float, avoid: Collection[Node] = ()) -> Node | None:
    """Pick as `balancer` does, but no full endpoint while one that is alive, and not to be avoided, has room."""
    node = balancer.pick(now, avoid)
    if node is None or _pool(node).has_room:
        return node
    full = {each for each in balancer.nodes if not _pool(each).has_room}
    other = balancer.pick(now, full.union(avoid))
    if other is None or other in full or other in avoid or other.accrual.health is not Health.ALIVE:
        return node
    return other


def has_others(nodes: Iterable[Node], avoid: Collection[Node]) -> bool:
    """Tell whether there is an endpoint besides those of `avoid`."""
    return any(node not in avoid for node in nodes)


def has_room(nodes: Iterable[Node], avoid: Collection[Node], waited: bool) -> bool:
    """Tell whether an endpoint that is alive and not in `avoid` takes a request: into its queue, or at once.

    One that has `waited` wants to be taken at once, so that it waits no longer than it may.
    """
    return any(
        node not in avoid
        and node.accrual.health is Health.ALIVE
        and (_pool(node).has_room if waited else _pool(node).has_place)
        for node in nodes
    )


def requests_waiting(nodes: Iterable[Node]) -> int:
    """Return how many requests wait for a connection to one of `nodes`."""
    return sum(len(_pool(node).waiters) for node in nodes)


def clear(nodes: Iterable[Node]) -> None:
    """Close the connections to `nodes` that nobody uses now."""
    for node in nodes:
        _pool(node).clear()


def _pool(node: Node) -> Pool:
    assert isinstance(node.pool, Pool)
    return node.pool
