"""The balancer of one set of endpoints: joins picking, load and health.

A request is ``pick``, ``begin``, ``end``; one whose answer streams on is ``pick``, ``begin``, ``answered``,
``release``. Which node is picked:

1. A dead node whose probe is due, for that one request; but a retry, which avoids nodes, is no probe.
2. One of those that are in (rotation.py), chosen by the picker. One that is new may leave the request to another
   (warmup.py). A request with a key (``pick_for``) goes by a ring (ring.py) instead of the picker.
3. A retry goes to one that is in and has not failed the request; if there is none, to what comes next.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from random import Random

from balancer.accrual import Change, FailureAccrual, Health
from balancer.load import Metric
from balancer.node import Node
from balancer.p2c import PowerOfChoices
from balancer.patience import Patience
from balancer.peers import Peers, Shared
from balancer.picker import Drawn, Picker
from balancer.response_class import ResponseClass
from balancer.ring import Rings, turn_of
from balancer.rotation import AllDead, Rotation
from balancer.statistics import BalancerStatistics, NodeStatistics
from balancer.warmup import Warmup
from balancer.zones import ZoneParams, classes_of
from namer.addr import Endpoint

_ALIVE = Health.ALIVE
_SUCCESS, _IGNORABLE = ResponseClass.SUCCESS, ResponseClass.IGNORABLE
_UNANSWERED = (ResponseClass.GIVEN_UP, ResponseClass.LOST)


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
        "_by_address",
        "_changes",
        "_classes",
        "_exhausted",
        "_latest",
        "_look_closer_at",
        "_parts",
        "_patience",
        "_picker",
        "_probes",
        "_removes",
        "_rings",
        "_rng",
        "_rotation",
        "_shared",
        "_warmup",
        "on_health",
        "on_usable",
    )

    def __init__(self, parts: Parts, rng: Random, peers: Peers | None = None) -> None:
        """*peers* are other processes that balance over the same endpoints."""
        self._parts = parts
        self._rng = rng
        self._rotation = Rotation(parts.max_ejected, parts.all_dead)
        self._warmup = Warmup(parts.slow_start)
        self._patience = Patience()
        self._shared = None if peers is None else Shared(peers)
        self._classes = classes_of(parts.picker, rng, parts.zones)
        self._picker: Picker = self._classes
        self._rings = Rings()
        self._by_address: dict[tuple[str, int], Node] = {}
        self.on_health: Callable[[Node, Change], None] | None = None
        """Called when an outcome, or ``leave_alone``, has changed the health of a node, before all that follows."""
        self.on_usable: Callable[[], None] | None = None
        """Called when ``usable`` has changed, as the last thing that the causing call does."""
        self._look_closer_at = -inf
        """From when a pick is not just the picker's: the next probe, or always while no node is alive or one is new."""
        self._latest = 0.0
        self._changes: Counter[Change] = Counter()
        self._adds = self._removes = self._probes = self._exhausted = 0

    @property
    def nodes(self) -> Sequence[Node]:
        """The endpoints in the order of discovery; replaced, never changed in place."""
        return self._rotation.nodes

    @property
    def usable(self) -> bool:
        """Whether some endpoint is alive."""
        return self._rotation.usable

    @property
    def drawn(self) -> Drawn:
        """What the last pick compared, for whoever explains it; empty when it was decided without a comparison."""
        return self._picker.drawn

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
        removed = [node for address, node in old.items() if address not in self._by_address]
        self._removes += len(removed)
        for node in removed:
            node.follower = None
            self._warmup.forget(node)
            if self._shared is not None:
                self._shared.leave(node)
        self._rotation.nodes = list(self._by_address.values())
        self._rings.rebuild(self._rotation.nodes)
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
        rotation = self._rotation
        if not rotation.shown:
            return self.pick(now, avoid)
        probe = None if avoid else self.pick_probe(now)
        self._picker.drawn = ()
        if probe is not None and (not rotation.usable or probe.endpoint.priority < rotation.priority):
            return probe

        def takes(node: Node) -> bool:
            if avoid:
                return node not in avoid and node.accrual.health is _ALIVE
            if rotation.usable:
                return rotation.may_go(node, now)
            return node in rotation.shown or node.accrual.available(now)

        def takes_already(node: Node) -> bool:
            return takes(node) and turn_of(key) <= self._warmup.part(node, now)

        node = None
        if now < self._warmup.ends_at:
            node = self._rings.lookup(key, rotation.priority, takes_already)
        node = node or self._rings.lookup(key, rotation.priority, takes)
        if node is None:
            return self.pick(now, avoid)
        self._exhausted += not rotation.usable
        return node

    def probe_due(self, now: float) -> bool:
        """Return whether some dead endpoint may be tried now, and none is being tried: for who has a better choice."""
        return now >= self._rotation.trial_at

    def pick_probe(self, now: float) -> Node | None:
        """Return the endpoint whose probe has been due the longest; None when none is due. As for ``pick``."""
        rotation = self._rotation
        return rotation.next_probe if now >= rotation.probe_at else None

    def begin(self, node: Node, now: float, timed: bool = True) -> None:
        """Count a request in flight on *node*; it is the probe when one is due. ``end`` or ``release`` must follow.

        Unless it is *timed*, how long it takes is not up to the node, and teaches nothing of it.
        """
        node.pending += 1
        if timed:
            node.metric.begun(now)
        if node.follower is not None:
            node.follower.begun(node, now)
        if now >= node.accrual.retry_at and node.accrual.begin_probe(now):  # the comparison spares most the call
            self._probes += 1
            self._rebuild(now)

    def end(self, node: Node, started: float, now: float, outcome: ResponseClass, timed: bool = True) -> None:
        """Count the end of a request that ``begin`` counted at *started*, and learn from its *outcome*."""
        self.release(node, now)
        self.answered(node, started, now, outcome, timed)

    def answered(self, node: Node, started: float, now: float, outcome: ResponseClass, timed: bool = True) -> None:
        """Learn, once, from the answer to a request that may go on, such as a stream: ``release`` follows then."""
        self._latest = now
        if outcome is _SUCCESS:
            if timed:
                node.metric.succeeded(started, now)
                self._patience.served(node, started, now)
        elif outcome is _IGNORABLE:
            node.metric.ignored(started)
        elif outcome not in _UNANSWERED:
            node.metric.failed(started, now)
        elif self._patience.blames(outcome, node, started, now, self.nodes):
            node.metric.failed(started, now)
            outcome = ResponseClass.FAILURE
        else:
            node.metric.given_up(started, now)
            outcome = _IGNORABLE
        change = node.accrual.record(outcome, started, now)
        if change is not None:
            self._tell_and_change(node, change, now)

    def release(self, node: Node, now: float) -> None:
        """Count the end of a request of which ``answered`` has heard."""
        assert node.pending > 0, f"{node!r}: more requests ended than began"
        node.pending -= 1
        if node.follower is not None:
            node.follower.ended(node, now)

    def leave_alone(self, node: Node, seconds: float, now: float) -> None:
        """Send *node* nothing for so many *seconds*, as it asked, while others can do without it."""
        change = node.accrual.leave_alone(now + seconds, now)
        if change is not None:
            self._tell_and_change(node, change, now)
        elif node is self._rotation.next_probe or node.accrual.health is Health.PROBING:
            self._rebuild(now)

    def checked(self, node: Node, up: bool, now: float) -> None:
        """Learn the verdict of the health checks of *node*, which is one of ``nodes``."""
        change = node.accrual.checked(up, now)
        if change is not None:
            self._changed(node, change, now)

    def exchange(self, now: float) -> None:
        """Share with the peers, if there are any, what was learnt; to be called a few times a second."""
        changed = () if self._shared is None else self._shared.exchange(self.nodes, now)
        for node in changed:
            if node.accrual.health is _ALIVE:
                self._warmup.begin(node, now)
        if changed:
            self._rebuild(now)

    def statistics(self) -> BalancerStatistics:
        """Return what stands now."""
        nodes = tuple(self._node_statistics(node) for node in self.nodes)
        health = [node.health for node in nodes]
        return BalancerStatistics(
            nodes=nodes,
            alive=health.count(Health.ALIVE),
            dead=health.count(Health.DEAD),
            probing=health.count(Health.PROBING),
            priority=self._rotation.priority if nodes else None,
            all_dead=bool(nodes) and not self.usable,
            local_share=self._classes.local_share,
            ejections=self._changes[Change.EJECTED],
            refusals=self._changes[Change.REFUSED],
            asked=self._changes[Change.ASKED],
            check_outs=self._changes[Change.CHECKED_OUT],
            revivals=self._changes[Change.REVIVED],
            probes=self._probes,
            max_effort_exhausted=self._exhausted,
            adds=self._adds,
            removes=self._removes,
        )

    def _node_statistics(self, node: Node) -> NodeStatistics:
        load = node.metric.load(node.pending, self._latest)
        kept, accrual = node in self._rotation.kept, node.accrual
        return NodeStatistics(
            node.endpoint,
            node.pending,
            load,
            _ALIVE if kept else accrual.health,
            accrual.reason,
            accrual.ejections,
            kept,
            node.trouble if accrual.reason is not None else None,
            node.transport,
        )

    def _tell_and_change(self, node: Node, change: Change, now: float) -> None:
        if self.on_health is not None:
            self.on_health(node, change)
        self._changed(node, change, now)

    def _changed(self, node: Node, change: Change, now: float) -> None:
        self._changes[change] += 1
        if change is Change.REVIVED and self._by_address.get((node.endpoint.host, node.endpoint.port)) is node:
            self._warmup.begin(node, now)
        self._rebuild(now)

    def _add(self, endpoint: Endpoint, now: float, *, first: bool) -> Node:
        self._adds += 1
        node = Node(endpoint, self._parts.metric(), self._parts.accrual(), self._rng.random())
        if self._shared is not None:
            self._shared.join(node, now)
        if not first:
            self._warmup.begin(node, now)
        return node

    def _rebuild(self, now: float) -> None:
        """Let the picker choose among the nodes that are in, and tell when ``usable`` has changed."""
        rotation = self._rotation
        changed = rotation.refresh()
        for node in rotation.nodes:
            node.follower = None
        if rotation.shown:
            self._classes.rebuild(rotation.shown, rotation.nodes if rotation.usable else None)
            self._picker = self._classes.only() or self._classes
        else:  # those that are gone are let go
            self._picker = self._classes = classes_of(self._parts.picker, self._rng, self._parts.zones)
        if self._shared is not None:
            self._shared.announce(rotation.nodes)
        self._warmup.compare(rotation.shown, now)
        self._look_closer_at = rotation.probe_at if rotation.usable and now >= self._warmup.ends_at else -inf
        if changed and self.on_usable is not None:
            self.on_usable()

    def _pick_closely(self, now: float, avoid: Collection[Node]) -> Node | None:
        """Pick when some nodes are to be avoided, a probe is due, none is alive or one is new."""
        self._picker.drawn = ()
        node = self._pick_other(now, avoid) if avoid else self.pick_probe(now) or self._pick_warm(now)
        if node is not None and not self._rotation.may_go(node, now):
            self._exhausted += 1
        return node

    def _pick_warm(self, now: float) -> Node | None:
        """Pick a node, and another one where a new one leaves the request to others."""
        shown = self._rotation.shown
        if not shown:
            return None
        if now >= self._warmup.ends_at:
            self._look_closer_at = self._rotation.probe_at if self.usable else -inf
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
        return self._any_of([node for node in shown if node not in declined] or shown, now)

    def _pick_other(self, now: float, avoid: Collection[Node]) -> Node | None:
        """Pick a usable node that is not in *avoid*; if there is none, what comes next."""
        for _ in range(self._parts.max_effort if self.usable else 0):
            node = self._picker.pick(now)
            if node not in avoid and node.accrual.health is _ALIVE:
                return node
        nodes = self._rotation.for_retry(now, avoid)
        return self._any_of(nodes, now) if nodes else None

    def _any_of(self, nodes: Sequence[Node], now: float) -> Node:
        picker = PowerOfChoices(self._rng)
        picker.rebuild(nodes)
        node = picker.pick(now)
        self._picker.drawn = picker.drawn
        return node
