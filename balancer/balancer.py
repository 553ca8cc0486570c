"""The balancer of one set of endpoints: joins picking, load and health.

A request is ``pick``, ``begin``, ``end``. Which node is picked:

1. A dead node whose probe is due, for that one request; but a retry, which avoids nodes, is no probe.
2. A node that is alive, chosen by the picker; dead and probing ones are not even shown to it.
3. When none is alive, any, chosen by the picker: traffic still flows and can find out that things are better.

A node in *avoid* comes last among the usable ones. A node that is not usable never goes before one that is.

The picker is shown one priority only: the best that has a node alive, or the best there is. Dead nodes of a worse
priority are left alone, those of a better one are probed, so that the traffic comes back. A retry goes on to
the next priority when it is to avoid all that are alive in the better ones. (RFC 2782, "Priority": a client
contacts the hosts of the best priority it can reach.)

Health changes are rare and requests are not, so each change of health or membership rebuilds the picker's
nodes in O(n), and a pick looks at no health and no priority at all.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from random import Random

from balancer.accrual import Change, FailureAccrual, Health, Reason
from balancer.load import Metric
from balancer.node import Node
from balancer.p2c import PowerOfTwoChoices
from balancer.picker import Picker
from balancer.response_class import ResponseClass
from balancer.weights import WeightClasses
from namer.addr import Endpoint

_ALIVE, _PROBING = Health.ALIVE, Health.PROBING
_SUCCESS, _IGNORABLE = ResponseClass.SUCCESS, ResponseClass.IGNORABLE


@dataclass(frozen=True, slots=True)
class NodeStatistics:
    """One endpoint at one moment. *load* is in the unit of the metric, as of the balancer's last event."""

    endpoint: Endpoint
    pending: int
    load: float
    health: Health
    reason: Reason | None
    """Why it is not alive."""
    ejections: int


@dataclass(frozen=True, slots=True)
class BalancerStatistics:
    """A balancer at one moment. The second group of numbers only grows, whatever endpoints come and go."""

    nodes: tuple[NodeStatistics, ...]
    alive: int
    dead: int
    probing: int
    priority: int | None
    """The priority of the endpoints that get the traffic; None when there is no endpoint."""

    ejections: int
    refusals: int
    """Times that an endpoint was dead at once because it could not be connected to; no ejections."""
    revivals: int
    probes: int
    max_effort_exhausted: int
    """Picks that found no usable endpoint and took one regardless."""
    adds: int
    removes: int


@dataclass(frozen=True, slots=True)
class Parts:
    """What a balancer is made of: a picker is made for each weight, a metric and an accrual for each node."""

    picker: Callable[[], Picker]
    metric: Callable[[], Metric]
    accrual: Callable[[], FailureAccrual]


class Balancer:
    """Chooses an endpoint for each request and learns from how it went.

    All methods are synchronous and take *now* in seconds, which must not run backwards. *max_effort* is how
    often a pick that met a node to avoid is repeated before all nodes are looked through.
    """

    __slots__ = (
        "_adds",
        "_by_address",
        "_classes",
        "_ejections",
        "_exhausted",
        "_latest",
        "_look_closer_at",
        "_max_effort",
        "_next_probe",
        "_parts",
        "_picker",
        "_priority",
        "_probe_at",
        "_probes",
        "_refusals",
        "_removes",
        "_revivals",
        "_rng",
        "_trial_at",
        "nodes",
        "on_usable",
        "usable",
    )

    def __init__(self, parts: Parts, rng: Random, *, max_effort: int = 5) -> None:
        self._parts = parts
        self._rng = rng
        self._max_effort = max_effort
        self._classes = WeightClasses(parts.picker, rng)
        self._picker: Picker = self._classes
        self._by_address: dict[tuple[str, int], Node] = {}
        self.nodes: list[Node] = []
        """The endpoints in the order of discovery; replaced, never changed in place."""
        self.usable = False
        """Whether some endpoint is alive."""
        self.on_usable: Callable[[], None] | None = None
        """Called when ``usable`` has changed, as the last thing that the causing call does."""
        self._next_probe: Node | None = None
        """The node to be probed first, if any is to be."""
        self._probe_at = inf
        """When its probe is due."""
        self._priority = 0
        """The one that the picker is shown."""
        self._trial_at = inf
        """As ``_probe_at``, but not while another probe is out."""
        self._look_closer_at = -inf
        """From when a pick is not just the picker's: the next probe, or always while no node is alive."""
        self._latest = 0.0
        self._adds = self._removes = 0
        self._ejections = self._refusals = self._revivals = self._probes = self._exhausted = 0

    def update(self, endpoints: Iterable[Endpoint], now: float) -> list[Node]:
        """Balance over *endpoints* from now on and return the nodes that are gone.

        A host and port that stays keeps its node with all it knows, even when its weight or priority changed;
        of one that is named twice the better priority counts. Requests still out on a removed node end as usual.
        """
        self._latest = now
        old = self._by_address
        self._by_address = {}
        for endpoint in endpoints:
            address = (endpoint.host, endpoint.port)
            twin = self._by_address.get(address)
            if twin is not None and twin.endpoint.priority < endpoint.priority:
                continue
            node = twin or old.get(address) or self._add(endpoint)
            node.endpoint = endpoint
            self._by_address[address] = node
        self.nodes = list(self._by_address.values())
        removed = [node for address, node in old.items() if address not in self._by_address]
        self._removes += len(removed)
        for node in removed:
            node.follower = None
        self._rebuild()
        return removed

    def pick(self, now: float, avoid: Collection[Node] = ()) -> Node | None:
        """Return the node for the next request; None only when there is no endpoint.

        *avoid* holds the nodes this request already failed on. ``begin`` belongs to the same step: until then
        the next pick knows nothing of this one, and could hand out the same probe again.
        """
        if avoid or now >= self._look_closer_at:
            return self._pick_closely(now, avoid)
        return self._picker.pick(now)

    def probe_due(self, now: float) -> bool:
        """Return whether some dead endpoint may be tried now, and none is being tried: for who has a better choice."""
        return now >= self._trial_at

    def pick_probe(self, now: float) -> Node | None:
        """Return the endpoint whose probe has been due the longest; None when none is due. As for ``pick``."""
        return self._next_probe if now >= self._probe_at else None

    def begin(self, node: Node, now: float) -> None:
        """Count a request in flight on *node*; it is the probe when one is due. ``end`` must follow."""
        node.pending += 1
        if node.follower is not None:
            node.follower.begun(node, now)
        if now >= node.accrual.retry_at and node.accrual.begin_probe(now):  # the comparison spares most the call
            self._probes += 1
            self._rebuild()

    def end(self, node: Node, started: float, now: float, outcome: ResponseClass, latency: float | None = None) -> None:
        """Count the end of a request that ``begin`` counted at *started*, and learn from its *outcome*.

        *latency*, in seconds, is for a request that was out for longer than the endpoint took to answer it.
        """
        assert node.pending > 0, f"{node!r}: more requests ended than began"
        node.pending -= 1
        if node.follower is not None:
            node.follower.ended(node, now)
        self._latest = now
        if latency is None:
            latency = now - started
        if outcome is _SUCCESS:
            node.metric.sample(latency, now)
        elif outcome is not _IGNORABLE:
            node.metric.sample_failure(latency, now)
        change = node.accrual.record(outcome, started, now)
        if change is not None:
            self._changed(change)

    def answered(self, node: Node, started: float, now: float, outcome: ResponseClass) -> None:
        """Learn of an answer to a request that goes on, such as a stream: a probe need not wait for its ``end``."""
        if node.accrual.health is _ALIVE:
            return
        change = node.accrual.record(outcome, started, now)
        if change is not None:
            self._changed(change)

    def statistics(self) -> BalancerStatistics:
        """Return what stands now."""
        health = [node.accrual.health for node in self.nodes]
        return BalancerStatistics(
            nodes=tuple(self._node_statistics(node) for node in self.nodes),
            alive=health.count(Health.ALIVE),
            dead=health.count(Health.DEAD),
            probing=health.count(Health.PROBING),
            priority=self._priority if self.nodes else None,
            ejections=self._ejections,
            refusals=self._refusals,
            revivals=self._revivals,
            probes=self._probes,
            max_effort_exhausted=self._exhausted,
            adds=self._adds,
            removes=self._removes,
        )

    def _node_statistics(self, node: Node) -> NodeStatistics:
        load = node.metric.load(node.pending, self._latest)
        return NodeStatistics(
            node.endpoint, node.pending, load, node.accrual.health, node.accrual.reason, node.accrual.ejections
        )

    def _changed(self, change: Change) -> None:
        self._ejections += change is Change.EJECTED
        self._refusals += change is Change.REFUSED
        self._revivals += change is Change.REVIVED
        self._rebuild()

    def _add(self, endpoint: Endpoint) -> Node:
        self._adds += 1
        return Node(endpoint, self._parts.metric(), self._parts.accrual(), self._rng.random())

    def _rebuild(self) -> None:
        """Show the picker the nodes that are alive, or all when none is, and tell when ``usable`` has changed."""
        alive = [node for node in self.nodes if node.accrual.health is _ALIVE]
        self._show(alive or self.nodes)
        better = [node for node in self.nodes if node.endpoint.priority <= self._priority] if alive else self.nodes
        self._next_probe = min(better, key=_retry_at, default=None)
        self._probe_at = _retry_at(self._next_probe) if self._next_probe else inf
        out = (node.accrual.retry_at for node in self.nodes if node.accrual.health is _PROBING)
        self._trial_at = max(self._probe_at, max(out, default=-inf))
        self._look_closer_at = self._probe_at if alive else -inf
        usable = bool(alive)
        if usable is not self.usable:
            self.usable = usable
            if self.on_usable is not None:
                self.on_usable()

    def _show(self, candidates: Sequence[Node]) -> None:
        """Let the picker choose among those of *candidates* that have the best priority."""
        for node in self.nodes:
            node.follower = None
        if candidates:
            self._priority = min(node.endpoint.priority for node in candidates)
            self._classes.rebuild([node for node in candidates if node.endpoint.priority == self._priority])
            self._picker = self._classes.only() or self._classes
        else:  # those that are gone are let go
            self._picker = self._classes = WeightClasses(self._parts.picker, self._rng)

    def _pick_closely(self, now: float, avoid: Collection[Node]) -> Node | None:
        """Pick when some nodes are to be avoided, a probe is due, or none is alive."""
        if not self.nodes:
            return None
        if avoid:
            node = self._pick_other(now, avoid)
        else:
            node = self.pick_probe(now) or self._picker.pick(now)
        if not node.accrual.available(now):
            self._exhausted += 1
        return node

    def _pick_other(self, now: float, avoid: Collection[Node]) -> Node:
        """Pick a usable node that is not in *avoid*; if there is none, what comes next."""
        for _ in range(self._max_effort):
            node = self._picker.pick(now)
            if node not in avoid and node.accrual.available(now):
                return node
        order = [(_order(node, now, avoid), node.endpoint.priority) for node in self.nodes]
        first = min(order)
        picker = PowerOfTwoChoices(self._rng)
        picker.rebuild([node for node, place in zip(self.nodes, order, strict=True) if place == first])
        return picker.pick(now)


def _retry_at(node: Node) -> float:
    return node.accrual.retry_at


def _order(node: Node, now: float, avoid: Collection[Node]) -> int:
    """Return the place of *node* among those that a retry may go to; the smallest goes first."""
    if node.accrual.available(now):
        if node in avoid:
            return 2
        return 0 if node.accrual.health is _ALIVE else 1
    return 4 if node in avoid else 3
