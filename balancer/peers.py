"""What the processes of one host know together of the endpoints that all of them balance over.

Each process decides by itself, for each request, without waiting for anybody. What it goes by is shared:

* **Requests under way.** Each process tells its own number whenever that changes, and reads the others' at every pick.
* **Latency.** Each tells what a request costs as of now; the load of an endpoint goes by the highest of these. That is
  close to what one process with all requests would know: peaks are seen at once, and forgotten at the same pace.
* **Health.** The newest verdict counts, whoever found it: the others follow it, and pass it on, so that it outlives
  the process that found it. They count nothing, and leave the probe to who found it: their own is due ``COURTESY``
  seconds later. What active health checks found is not shared, because each process makes its own.

``Balancer.exchange`` is to be called a few times a second for the last two; the first needs no call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from balancer.accrual import COURTESY, Health, Reason, Verdict
from balancer.ewma import UNPROVEN
from balancer.load import Metric
from balancer.node import Follower, Node
from namer.addr import Endpoint

__all__ = ["COURTESY", "PeerLoad", "Peers", "Seat", "Shared"]


class Seat(Protocol):
    """The place of one endpoint in what is shared. A process writes its own part, and reads the others'."""

    def put_pending(self, count: int) -> None:
        """Tell how many requests of this process are under way."""

    def pending_elsewhere(self) -> float:
        """Return how many requests of the other processes are under way."""

    def put_cost(self, seconds: float) -> None:
        """Tell what a request costs, as this process knows it; 0 for nothing."""

    def cost_elsewhere(self) -> float:
        """Return the most that a request costs another process."""

    def version(self, now: float) -> float:
        """Return the version of what is found out *now*: the time on a clock that all processes share."""

    def put_verdict(self, verdict: Verdict) -> None:
        """Tell the newest verdict that this process knows."""

    def newest_elsewhere(self) -> Verdict | None:
        """Return the newest verdict that another process knows."""

    def leave(self) -> None:
        """Take back all that was told; nothing else is called afterwards."""


class Peers(Protocol):
    """The other processes that balance over the endpoints of one name."""

    def seat(self, endpoint: Endpoint) -> Seat | None:
        """Return the place of an endpoint; None where there is no room, then it is not shared."""


class PeerLoad:
    """The load of an endpoint whose requests come from several processes."""

    __slots__ = (
        "_elsewhere",
        "_known",
        "_load",
        "_own",
        "_seat",
        "begun",
        "failed",
        "given_up",
        "ignored",
        "succeeded",
    )

    def __init__(self, own: Metric, seat: Seat) -> None:
        self._own = own
        self._seat = seat
        self._known = 0.0
        """The most that a request costs another process."""
        self._load = own.load
        self._elsewhere = seat.pending_elsewhere
        self.begun: Callable[[float], None] = own.begun  # all as they are, without a call in between
        self.ignored: Callable[[float], None] = own.ignored
        self.succeeded: Callable[[float, float], None] = own.succeeded
        self.failed: Callable[[float, float], None] = own.failed
        self.given_up: Callable[[float, float], None] = own.given_up

    def load(self, pending: float, now: float) -> float:
        """Return the load with *pending* requests of this process in flight, and those of the others."""
        pending += self._elsewhere()
        load = self._load(pending, now)
        known = self._known
        if not known:
            return load
        known *= pending + 1
        # What others know is worth more than the caution towards an endpoint that this process does not know.
        return known if known > load or load >= UNPROVEN else load

    def known_cost(self, pending: float, now: float) -> float:
        """Return what this process knows itself."""
        return self._own.known_cost(pending, now)

    def exchange(self, pending: int, now: float) -> None:
        """Tell what is known here, and learn what others know."""
        self._seat.put_cost(self._own.known_cost(pending, now))
        self._known = self._seat.cost_elsewhere()


class _Announcer:
    """Tells the other processes of each request, and then the picker that wanted to hear of it."""

    __slots__ = ("_put", "_then")

    def __init__(self, seat: Seat, then: Follower | None) -> None:
        self._put = seat.put_pending
        self._then = then

    def begun(self, node: Node, now: float) -> None:
        self._put(node.pending)
        if self._then is not None:
            self._then.begun(node, now)

    def ended(self, node: Node, now: float) -> None:
        self._put(node.pending)
        if self._then is not None:
            self._then.ended(node, now)


_State = tuple[Health, Reason | None, float]


@dataclass(slots=True)
class _Member:
    seat: Seat
    load: PeerLoad
    state: _State
    """The health that the others were told of."""
    version: float = -inf
    """That of the newest verdict, whoever found it."""


class Shared:
    """What one balancer shares with its peers."""

    __slots__ = ("_members", "_peers")

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._members: dict[Node, _Member] = {}

    def join(self, node: Node, now: float) -> None:
        """Share *node*, which is new here, and learn at once what is known of it."""
        seat = self._peers.seat(node.endpoint)
        if seat is None:
            return
        load = node.metric = PeerLoad(node.metric, seat)
        self._members[node] = _Member(seat, load, _state(node))
        self.exchange((node,), now)

    def leave(self, node: Node) -> None:
        """Share *node* no more."""
        member = self._members.pop(node, None)
        if member is not None:
            member.seat.leave()

    def announce(self, nodes: Iterable[Node]) -> None:
        """Let the others hear of the requests to *nodes*, whose followers were just set anew."""
        for node in nodes:
            member = self._members.get(node)
            if member is not None:
                node.follower = _Announcer(member.seat, node.follower)

    def exchange(self, nodes: Iterable[Node], now: float) -> list[Node]:
        """Tell what is new of *nodes* and learn what others know; return those whose health has changed by that."""
        changed = []
        for node in nodes:
            member = self._members.get(node)
            if member is not None:
                member.load.exchange(node.pending, now)
                if self._exchange_health(node, member, now):
                    changed.append(node)
        return changed

    def _exchange_health(self, node: Node, member: _Member, now: float) -> bool:
        accrual, seat = node.accrual, member.seat
        state = _state(node)
        if state != member.state:
            member.state = state
            if accrual.reason is not Reason.CHECKS:
                member.version = seat.version(now)
                seat.put_verdict(Verdict(member.version, *state, accrual.dead_since))
            return False
        if accrual.reason is Reason.CHECKS:
            return False
        verdict = seat.newest_elsewhere()
        if verdict is None or verdict.version <= member.version:
            return False
        accrual.follow(verdict, now)
        member.state, member.version = _state(node), verdict.version
        seat.put_verdict(verdict)
        return member.state != state


def _state(node: Node) -> _State:
    accrual = node.accrual
    return accrual.health, accrual.reason, accrual.retry_at
