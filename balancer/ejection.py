"""How many endpoints failure accrual may take out: not so many that the rest cannot carry the load.

When more than a part of a set is found dead, the trouble is mostly not theirs alone, and what is left would drown. So
no more than that part is out, those that died first; the others are *kept*: they get traffic as if they were alive, and
show by their probes whether they are. In a set of two or more at least one is kept, unless all may be out. A set of one
is not kept: there is nothing to choose, and whoever has an alternative should hear that it is dead.

An endpoint that cannot be connected to, or whose health check fails, is out in any case: nothing can be gained there.

Precedent: Envoy's ``max_ejection_percent``, which users found to eject both of two (envoy#3263, #26877), and its panic
threshold.
"""

from collections.abc import Sequence
from math import ceil

from balancer.accrual import OVERLOOKED, Health
from balancer.node import Node

_ALIVE, _DEAD = Health.ALIVE, Health.DEAD


def most_out(count: int, part: float) -> int:
    """Return how many of *count* endpoints may be out when *part* of them may; 0 to 1."""
    if count < 2 or part >= 1.0:
        return count
    return min(count - 1, ceil(count * part))


def kept(nodes: Sequence[Node], part: float) -> list[Node]:
    """Return the dead ones of *nodes* that get traffic all the same, because no more than *part* may be out."""
    out = [node for node in nodes if node.accrual.health is not _ALIVE]
    spare = len(out) - most_out(len(nodes), part)
    if spare <= 0:
        return []
    able = [node for node in out if node.accrual.health is _DEAD and node.accrual.reason in OVERLOOKED]
    able.sort(key=lambda node: node.accrual.dead_since)
    return able[-spare:]
