"""Which of a balancer's endpoints may get traffic: by health, priority and what is left over.

* Those that are alive; and of the dead ones those that are kept, because too many would be out (ejection.py).
* Of these, the ones of the best priority. Dead ones of a worse priority are left alone, those of a better one are
  probed, so that the traffic comes back. (RFC 2782, "Priority": a client contacts the hosts of the best priority it
  can reach.)
* When none is alive, what ``AllDead`` says: any that takes connections, or else any (traffic still flows and can find
  out that things are better), the one that was alive last, or none.

Health changes are rare and requests are not, so all of it is found out in O(n) when something has changed, and a pick
looks at no health and no priority at all.
"""

from collections.abc import Collection, Sequence
from math import inf
from typing import Literal

from balancer.accrual import OVERLOOKED, Health
from balancer.ejection import kept
from balancer.node import Node

_ALIVE, _PROBING = Health.ALIVE, Health.PROBING

AllDead = Literal["tryAll", "lastGood", "failFast"]
"""Who gets the traffic when no endpoint is alive."""

_UNUSABLE = 4
"""The places of a retry from which on nodes are not usable."""


class Rotation:
    """The endpoints, and who of them is in. *max_ejected* is the part of them that failures may take out."""

    __slots__ = (
        "_all_dead",
        "_max_ejected",
        "kept",
        "next_probe",
        "nodes",
        "priority",
        "probe_at",
        "shown",
        "trial_at",
        "usable",
    )

    def __init__(self, max_ejected: float, all_dead: AllDead) -> None:
        self._max_ejected = max_ejected
        self._all_dead = all_dead
        self.nodes: Sequence[Node] = ()
        """All, in the order of discovery; replaced, never changed in place."""
        self.usable = False
        """Whether some node is alive."""
        self.shown: Sequence[Node] = ()
        """Those that get traffic; empty only when there are none, or none living and that is wanted."""
        self.kept: frozenset[Node] = frozenset()
        """The dead ones that get traffic as if they were alive."""
        self.priority = 0
        """The one of those that get traffic."""
        self.next_probe: Node | None = None
        """The node to be probed first, if any is to be."""
        self.probe_at = inf
        """When its probe is due."""
        self.trial_at = inf
        """As ``probe_at``, but not while another probe is out."""

    def refresh(self) -> bool:
        """Find out anew who gets traffic, after a change of nodes or health; tell whether ``usable`` has changed."""
        alive = [node for node in self.nodes if node.accrual.health is _ALIVE]
        spared = self._spared(alive)
        self.kept = frozenset(spared)
        candidates = [*alive, *spared] if alive else self._when_all_dead()
        if candidates:
            self.priority = min(node.endpoint.priority for node in candidates)
        self.shown = [node for node in candidates if node.endpoint.priority == self.priority]
        better = [node for node in self.nodes if node.endpoint.priority <= self.priority] if alive else self.nodes
        self.next_probe = min(better, key=_retry_at, default=None)
        self.probe_at = _retry_at(self.next_probe) if self.next_probe else inf
        out = (node.accrual.retry_at for node in self.nodes if node.accrual.health is _PROBING)
        self.trial_at = max(self.probe_at, max(out, default=-inf))
        before, self.usable = self.usable, bool(alive)
        return self.usable is not before

    def may_go(self, node: Node, now: float) -> bool:
        """Tell whether a request may go to *node*: it is alive, kept, or its probe is due."""
        return node.accrual.available(now) or node in self.kept

    def for_retry(self, now: float, avoid: Collection[Node]) -> Sequence[Node]:
        """Return the best nodes for a request that failed on those in *avoid*.

        A node in *avoid* comes last among the usable ones, and one that is not usable never goes before one that is.
        """
        places = [(self._place(node, now, avoid), node.endpoint.priority) for node in self.nodes]
        best = min(places, default=(_UNUSABLE, 0))
        if best[0] >= _UNUSABLE and not self.shown:
            return ()
        return [node for node, place in zip(self.nodes, places, strict=True) if place == best]

    def _place(self, node: Node, now: float, avoid: Collection[Node]) -> int:
        if not self.may_go(node, now):
            return _UNUSABLE + (node in avoid)
        if node in avoid:
            return 3
        if node.accrual.health is _ALIVE:
            return 0
        return 1 if node.accrual.available(now) else 2

    def _spared(self, alive: Sequence[Node]) -> Sequence[Node]:
        """Return the dead ones that get traffic all the same: as many of one priority have to share it."""
        if not alive:
            return () if self._all_dead == "failFast" else kept(self.nodes, self._max_ejected)
        if len(alive) == len(self.nodes):
            return ()
        best = min(node.endpoint.priority for node in alive)
        return kept([node for node in self.nodes if node.endpoint.priority == best], self._max_ejected)

    def _when_all_dead(self) -> Sequence[Node]:
        match self._all_dead:
            case "tryAll":
                return [node for node in self.nodes if node.accrual.reason in OVERLOOKED] or self.nodes
            case "lastGood":
                return [max(self.nodes, key=lambda node: node.accrual.dead_since)] if self.nodes else []
            case "failFast":
                return []


def _retry_at(node: Node) -> float:
    return node.accrual.retry_at
