"""The balancer of one set of endpoints: joins picking, load and health.

A request is ``pick``, ``begin``, ``end``; one whose answer streams on is ``pick``, ``begin``, ``answered``,
``release``. Which node is picked:

1. A dead node whose probe is due, for that one request; but a retry, which avoids nodes, is no probe.
2. A node that is alive, chosen by the picker; dead and probing ones are not even shown to it, unless too many would be
   out (ejection.py). One that is new may leave the request to another (warmup.py).
3. When none is alive, what ``AllDead`` says: any (traffic still flows and can find out that things are better), the one
   that was alive last, or none.

A node in *avoid* comes last among the usable ones. A node that is not usable never goes before one that is.

The picker is shown one priority only: the best that has a node alive, or the best there is. Dead nodes of a worse
priority are left alone, those of a better one are probed, so that the traffic comes back. A retry goes on to
the next priority when it is to avoid all that are alive in the better ones. (RFC 2782, "Priority": a client
contacts the hosts of the best priority it can reach.)

A request that its caller gave up teaches nothing as a rule (finagle). But one that was out for much longer than
requests to these endpoints take, while another endpoint answered in time what it got later, has met one that does not
answer: that is a failure. When none answers in time, because all are overloaded or the agent itself was held up, none
is to blame. Less is enough when it was a copy of the request that was answered first (hedging).

Requests with a key (``pick_for``) go by a ring (ring.py) instead of the picker.

Health changes are rare and requests are not, so each change of health or membership rebuilds the picker's
nodes in O(n), and a pick looks at no health and no priority at all.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Literal

from balancer.accrual import Change, FailureAccrual, Health, Reason
from balancer.ejection import kept
from balancer.load import Metric
from balancer.node import Node
from balancer.p2c import PowerOfChoices
from balancer.picker import Picker
from balancer.response_class import ResponseClass
from balancer.ring import Rings, turn_of
from balancer.warmup import Warmup
from balancer.zones import ZoneParams, classes_of
from namer.addr import Endpoint

_ALIVE, _PROBING = Health.ALIVE, Health.PROBING
_SUCCESS, _FAILURE, _IGNORABLE = ResponseClass.SUCCESS, ResponseClass.FAILURE, ResponseClass.IGNORABLE
_LOST = ResponseClass.LOST

AllDead = Literal["tryAll", "lastGood", "failFast"]
"""Who gets the traffic when no endpoint is alive."""

OUT_OF_PATIENCE = 0.5
"""Seconds after which giving up may be the endpoint's fault; people and programs change their minds sooner."""

UNUSUAL = 3.0
"""How many times longer than requests take here is out of the ordinary."""

OUTRUN = 1.5
"""The same when another endpoint was faster with what it got later: that proves that it need not take so long."""

SMOOTHING = 0.05
"""Weight of one request in what requests take here: the last twenty count most."""


@dataclass(frozen=True, slots=True)
class NodeStatistics:
    """One endpoint at one moment. *load* is in the unit of the metric, as of the balancer's last event."""

    endpoint: Endpoint
    pending: int
    load: float
    health: Health
    """ALIVE also for one that is kept."""
    reason: Reason | None
    """Why it is not alive; or, when it is, why it would not be if it were not kept."""
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
    all_dead: bool
    """There are endpoints, and none of them is really alive."""
    local_share: float | None
    """The part of the traffic that goes to the preferred zone; None without a preference, or without an endpoint."""

    ejections: int
    refusals: int
    """Times that an endpoint was dead at once because it could not be connected to; no ejections."""
    asked: int
    """Times that an endpoint was dead because it asked to be left alone."""
    check_outs: int
    """Times that an endpoint was dead because its health checks failed; no ejections either."""
    revivals: int
    probes: int
    max_effort_exhausted: int
    """Picks that found no usable endpoint and took one regardless."""
    adds: int
    removes: int


@dataclass(frozen=True, slots=True)
class Parts:
    """What a balancer is made of: a picker for each weight (by zone, too), a metric and an accrual for each node.

    *max_effort* is how often a pick that met a node to avoid is repeated before all nodes are looked through.
    *slow_start* is in seconds, *max_ejected* the part of the endpoints that failure accrual may take out.
    """

    picker: Callable[[], Picker]
    metric: Callable[[], Metric]
    accrual: Callable[[], FailureAccrual]
    max_effort: int = 5
    slow_start: float = 0.0
    max_ejected: float = 1.0
    all_dead: AllDead = "tryAll"
    zones: ZoneParams | None = None


class Balancer:
    """Chooses an endpoint for each request and learns from how it went.

    All methods are synchronous and take *now* in seconds, which must not run backwards.
    """

    __slots__ = (
        "_adds",
        "_asked",
        "_by_address",
        "_check_outs",
        "_classes",
        "_ejections",
        "_exhausted",
        "_kept",
        "_latest",
        "_look_closer_at",
        "_next_probe",
        "_parts",
        "_picker",
        "_priority",
        "_probe_at",
        "_probes",
        "_refusals",
        "_removes",
        "_revivals",
        "_rings",
        "_rng",
        "_shown",
        "_trial_at",
        "_usual",
        "_warmup",
        "nodes",
        "on_usable",
        "usable",
    )

    def __init__(self, parts: Parts, rng: Random) -> None:
        self._parts = parts
        self._rng = rng
        self._classes = classes_of(parts.picker, rng, parts.zones)
        self._rings = Rings()
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
        self._shown: Sequence[Node] = ()
        """What the picker chooses among."""
        self._kept: Sequence[Node] = ()
        """The dead ones among them, while others are alive."""
        self._warmup = Warmup(parts.slow_start)
        self._trial_at = inf
        """As ``_probe_at``, but not while another probe is out."""
        self._look_closer_at = -inf
        """From when a pick is not just the picker's: the next probe, or always while no node is alive or one is new."""
        self._usual = 0.0
        """Seconds that requests take here; 0 while nothing is known."""
        self._latest = 0.0
        self._adds = self._removes = 0
        self._ejections = self._refusals = self._asked = self._revivals = self._probes = self._exhausted = 0
        self._check_outs = 0

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
            node = twin or old.get(address) or self._add(endpoint, now, first=not old)
            node.endpoint = endpoint
            self._by_address[address] = node
        self.nodes = list(self._by_address.values())
        removed = [node for address, node in old.items() if address not in self._by_address]
        self._removes += len(removed)
        for node in removed:
            node.follower = None
            self._warmup.forget(node)
        self._rings.rebuild(self.nodes)
        self._rebuild(now)
        return removed

    def pick(self, now: float, avoid: Collection[Node] = ()) -> Node | None:
        """Return the node for the next request; None when there is no endpoint, or no living one and that is wanted.

        *avoid* holds the nodes this request already failed on. ``begin`` belongs to the same step: until then
        the next pick knows nothing of this one, and could hand out the same probe again.
        """
        if avoid or now >= self._look_closer_at:
            return self._pick_closely(now, avoid)
        return self._picker.pick(now)

    def pick_for(self, key: bytes, now: float, avoid: Collection[Node] = ()) -> Node | None:
        """As ``pick``, for a request with a *key*: its own node, or the next one on the ring that may be used.

        A dead node's probe is one of its own keys; of a better priority, or while none is alive, any. A new node takes
        its keys one after the other, each once and for all.
        """
        if not self._shown:
            return self.pick(now, avoid)
        probe = None if avoid else self.pick_probe(now)
        if probe is not None and (not self.usable or probe.endpoint.priority < self._priority):
            return probe

        def takes(node: Node) -> bool:
            if avoid:
                return node not in avoid and (node.accrual.health is _ALIVE or node in self._kept)
            if not self._may_go(node, now) and (self.usable or node not in self._shown):
                return False
            return now >= self._warmup.ends_at or turn_of(key) <= self._warmup.part(node, now)

        node = self._rings.lookup(key, self._priority, takes)
        if node is None:
            return self.pick(now, avoid)
        self._exhausted += not self.usable
        return node

    def probe_due(self, now: float) -> bool:
        """Return whether some dead endpoint may be tried now, and none is being tried: for who has a better choice."""
        return now >= self._trial_at

    def pick_probe(self, now: float) -> Node | None:
        """Return the endpoint whose probe has been due the longest; None when none is due. As for ``pick``."""
        return self._next_probe if now >= self._probe_at else None

    def begin(self, node: Node, now: float) -> None:
        """Count a request in flight on *node*; it is the probe when one is due. ``end`` or ``release`` must follow."""
        node.pending += 1
        node.metric.begun(now)
        if node.follower is not None:
            node.follower.begun(node, now)
        if now >= node.accrual.retry_at and node.accrual.begin_probe(now):  # the comparison spares most the call
            self._probes += 1
            self._rebuild(now)

    def end(self, node: Node, started: float, now: float, outcome: ResponseClass) -> None:
        """Count the end of a request that ``begin`` counted at *started*, and learn from its *outcome*."""
        self.release(node, now)
        self.answered(node, started, now, outcome)

    def answered(self, node: Node, started: float, now: float, outcome: ResponseClass) -> None:
        """Learn, once, from the answer to a request that may go on, such as a stream: ``release`` follows then."""
        self._latest = now
        if outcome is _SUCCESS:
            node.metric.succeeded(started, now)
            node.served_from, node.served_at = started, now
            usual = self._usual
            self._usual = usual + (now - started - usual) * SMOOTHING if usual else now - started
        elif outcome is _IGNORABLE:
            outcome = self._given_up(node, started, now, max(OUT_OF_PATIENCE, UNUSUAL * self._usual))
        elif outcome is _LOST:
            outcome = self._given_up(node, started, now, OUTRUN * self._usual)
        else:
            node.metric.failed(started, now)
        change = node.accrual.record(outcome, started, now)
        if change is not None:
            self._changed(node, change, now)

    def release(self, node: Node, now: float) -> None:
        """Count the end of a request of which ``answered`` has heard."""
        assert node.pending > 0, f"{node!r}: more requests ended than began"
        node.pending -= 1
        if node.follower is not None:
            node.follower.ended(node, now)

    def leave_alone(self, node: Node, seconds: float, now: float) -> None:
        """Send *node* nothing for so many *seconds*, as it asked, while others can do without it."""
        change = node.accrual.leave_alone(now + seconds, now)
        if change is None:
            self._rebuild(now)
        else:
            self._changed(node, change, now)

    def checked(self, node: Node, up: bool, now: float) -> None:
        """Learn the verdict of the health checks of *node*, which is one of ``nodes``."""
        change = node.accrual.checked(up, now)
        if change is not None:
            self._changed(node, change, now)

    def statistics(self) -> BalancerStatistics:
        """Return what stands now."""
        nodes = tuple(self._node_statistics(node) for node in self.nodes)
        health = [node.health for node in nodes]
        return BalancerStatistics(
            nodes=nodes,
            alive=health.count(Health.ALIVE),
            dead=health.count(Health.DEAD),
            probing=health.count(Health.PROBING),
            priority=self._priority if self.nodes else None,
            all_dead=bool(self.nodes) and not self.usable,
            local_share=self._classes.local_share,
            ejections=self._ejections,
            refusals=self._refusals,
            asked=self._asked,
            check_outs=self._check_outs,
            revivals=self._revivals,
            probes=self._probes,
            max_effort_exhausted=self._exhausted,
            adds=self._adds,
            removes=self._removes,
        )

    def _node_statistics(self, node: Node) -> NodeStatistics:
        load = node.metric.load(node.pending, self._latest)
        health = _ALIVE if node in self._kept else node.accrual.health
        return NodeStatistics(node.endpoint, node.pending, load, health, node.accrual.reason, node.accrual.ejections)

    def _given_up(self, node: Node, started: float, now: float, unusual: float) -> ResponseClass:
        """Return what a request says that nobody waited for: that it failed, when that took *unusual* seconds."""
        if now - started >= unusual and self._another_served(node, started, unusual):
            node.metric.failed(started, now)
            return _FAILURE
        node.metric.given_up(started, now)
        return _IGNORABLE

    def _another_served(self, node: Node, started: float, within: float) -> bool:
        """Tell whether an endpoint other than *node* answered *within* seconds what it got after *started*."""
        return any(
            other.served_from > started and other.served_at - other.served_from < within and other is not node
            for other in self.nodes
        )

    def _changed(self, node: Node, change: Change, now: float) -> None:
        self._ejections += change is Change.EJECTED
        self._refusals += change is Change.REFUSED
        self._asked += change is Change.ASKED
        self._check_outs += change is Change.CHECKED_OUT
        if change is Change.REVIVED:
            self._revivals += 1
            self._warmup.begin(node, now)
        self._rebuild(now)

    def _add(self, endpoint: Endpoint, now: float, *, first: bool) -> Node:
        self._adds += 1
        node = Node(endpoint, self._parts.metric(), self._parts.accrual(), self._rng.random())
        if not first:
            self._warmup.begin(node, now)
        return node

    def _rebuild(self, now: float) -> None:
        """Show the picker the nodes that may get traffic, and tell when ``usable`` has changed."""
        alive = [node for node in self.nodes if node.accrual.health is _ALIVE]
        self._kept = self._spared(alive)
        if alive:
            self._show([*alive, *self._kept], now, self.nodes)
        else:
            self._show(self._when_all_dead(), now)
        better = [node for node in self.nodes if node.endpoint.priority <= self._priority] if alive else self.nodes
        self._next_probe = min(better, key=_retry_at, default=None)
        self._probe_at = _retry_at(self._next_probe) if self._next_probe else inf
        out = (node.accrual.retry_at for node in self.nodes if node.accrual.health is _PROBING)
        self._trial_at = max(self._probe_at, max(out, default=-inf))
        self._look_closer_at = self._probe_at if alive and now >= self._warmup.ends_at else -inf
        usable = bool(alive)
        if usable is not self.usable:
            self.usable = usable
            if self.on_usable is not None:
                self.on_usable()

    def _spared(self, alive: Sequence[Node]) -> Sequence[Node]:
        """Return the dead ones that get traffic all the same: as many of one priority have to share it."""
        if not alive:
            return () if self._parts.all_dead == "failFast" else kept(self.nodes, self._parts.max_ejected)
        if len(alive) == len(self.nodes):
            return ()
        best = min(node.endpoint.priority for node in alive)
        return kept([node for node in self.nodes if node.endpoint.priority == best], self._parts.max_ejected)

    def _when_all_dead(self) -> Sequence[Node]:
        """Return who gets the traffic when no node is alive."""
        match self._parts.all_dead:
            case "tryAll":
                return self.nodes
            case "lastGood":
                return [max(self.nodes, key=lambda node: node.accrual.dead_since)] if self.nodes else []
            case "failFast":
                return []

    def _show(self, candidates: Sequence[Node], now: float, everybody: Sequence[Node] | None = None) -> None:
        """Let the picker choose among those of *candidates*, out of *everybody*, that have the best priority."""
        for node in self.nodes:
            node.follower = None
        if candidates:
            self._priority = min(node.endpoint.priority for node in candidates)
            self._shown = [node for node in candidates if node.endpoint.priority == self._priority]
            self._classes.rebuild(self._shown, everybody)
            self._picker = self._classes.only() or self._classes
        else:  # those that are gone are let go
            self._shown = ()
            self._picker = self._classes = classes_of(self._parts.picker, self._rng, self._parts.zones)
        self._warmup.compare(self._shown, now)

    def _pick_closely(self, now: float, avoid: Collection[Node]) -> Node | None:
        """Pick when some nodes are to be avoided, a probe is due, none is alive or one is new."""
        node = self._pick_other(now, avoid) if avoid else self.pick_probe(now) or self._pick_warm(now)
        if node is not None and not self._may_go(node, now):
            self._exhausted += 1
        return node

    def _pick_warm(self, now: float) -> Node | None:
        """Pick a node, and another one where a new one leaves the request to others."""
        if not self._shown:
            return None
        if now >= self._warmup.ends_at:
            self._look_closer_at = self._probe_at if self.usable else -inf
            return self._picker.pick(now)
        self._warmup.requests += 1
        declined: list[Node] = []
        for _ in range(self._parts.max_effort):
            node = self._picker.pick(now)
            if node in declined:
                continue
            if self._warmup.accepts(node, now):
                return node
            declined.append(node)
        return self._any_of([each for each in self._shown if each not in declined] or self._shown, now)

    def _pick_other(self, now: float, avoid: Collection[Node]) -> Node | None:
        """Pick a usable node that is not in *avoid*; if there is none, what comes next."""
        for _ in range(self._parts.max_effort if self.usable else 0):
            node = self._picker.pick(now)
            if node not in avoid and node.accrual.health is _ALIVE:
                return node
        order = [(self._order(node, now, avoid), node.endpoint.priority) for node in self.nodes]
        first = min(order, default=(_DEAD_ONES, 0))
        if first[0] >= _DEAD_ONES and not self._shown:
            return None
        return self._any_of([node for node, place in zip(self.nodes, order, strict=True) if place == first], now)

    def _any_of(self, nodes: Sequence[Node], now: float) -> Node:
        picker = PowerOfChoices(self._rng)
        picker.rebuild(nodes)
        return picker.pick(now)

    def _may_go(self, node: Node, now: float) -> bool:
        return node.accrual.available(now) or node in self._kept

    def _order(self, node: Node, now: float, avoid: Collection[Node]) -> int:
        """Return the place of *node* among those that a retry may go to; the smallest goes first."""
        if not self._may_go(node, now):
            return _DEAD_ONES + (node in avoid)
        if node in avoid:
            return 3
        if node.accrual.health is _ALIVE:
            return 0
        return 1 if node.accrual.available(now) else 2


_DEAD_ONES = 4
"""From this place on nodes are not usable."""


def _retry_at(node: Node) -> float:
    return node.accrual.retry_at
