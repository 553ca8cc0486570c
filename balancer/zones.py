"""Zone preference: the zone of this host takes the traffic as long as it can, and the rest goes by capacity.

Let h be the part of the local endpoints' weight that is usable. The local zone gets min(1, h x overprovisioning) of
the traffic: with 1.4 it takes everything until less than 5 of 7 of its endpoints are usable, since a zone is mostly
built with that much to spare, and then gives away in proportion. The other zones together get what is left, each
endpoint by its weight; but never so much that one elsewhere has more to do than one here. Without a usable endpoint
here they get all. When none at all is alive, there is nothing to prefer: as without zones.

An endpoint without a zone is not local. Each side is divided into weight classes, with a picker for each, so every way
of choosing works within it.

Source: Envoy's priority levels with their ``overprovisioning_factor`` of 140 %, the local zone being the first level.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from random import Random

from balancer.accrual import Health
from balancer.node import Node
from balancer.picker import Drawn, Picker
from balancer.weights import WeightClasses
from namer.addr import Endpoint

ZONE = "zone"
"""The key in ``Endpoint.meta`` of the zone that an endpoint is in."""


@dataclass(frozen=True, slots=True)
class ZoneParams:
    """The zone to prefer, and how much more than its share of the load each of its endpoints can take."""

    zone: str
    overprovisioning: float = 1.4

    def __post_init__(self) -> None:
        if not 1.0 <= self.overprovisioning <= 1000.0:
            raise ValueError(f"overprovisioning must be within 1 and 1000, not {self.overprovisioning}")


class ZonePreference:
    """Picks local or not by share, then by the weight classes of that side."""

    __slots__ = ("_local", "_make_picker", "_others", "_params", "_rng", "_share", "drawn", "local_share")

    def __init__(self, params: ZoneParams, make_picker: Callable[[], Picker], rng: Random) -> None:
        self._params = params
        self._make_picker = make_picker
        self._rng = rng
        self._share = 0.0
        self._local = WeightClasses(make_picker, rng)
        self._others = WeightClasses(make_picker, rng)
        self.drawn: Drawn = ()
        self.local_share: float | None = None
        """The part of the traffic that goes to the local zone, 0 to 1; None before the first nodes."""

    def rebuild(self, nodes: Sequence[Node], everybody: Sequence[Node] | None = None) -> None:
        """Choose among *nodes*, the usable ones of their priority of *everybody*.

        Without *everybody* none is alive, and no zone preferred.
        """
        local, others = self._divided(nodes)
        self._share = self.local_share = self._share_of(local, others, everybody)
        self._local = self._side(self._local, local)
        self._others = self._side(self._others, others)

    def only(self) -> Picker | None:
        """Return the picker that chooses among all nodes, when they are on one side and of one weight."""
        if self._share >= 1.0:
            return self._local.only()
        return self._others.only() if self._share <= 0.0 else None

    def pick(self, now: float) -> Node:
        """Return a node for the next request."""
        side = self._local if self._rng.random() < self._share else self._others
        node = side.pick(now)
        self.drawn = side.drawn
        return node

    def _share_of(self, local: Sequence[Node], others: Sequence[Node], everybody: Sequence[Node] | None) -> float:
        whole = inf
        if everybody is not None:
            local, others = _alive(local), _alive(others)  # those that are merely kept are no capacity
            here, _ = self._divided(everybody)
            whole = _weight(node for node in here if local and node.endpoint.priority == local[0].endpoint.priority)
        if not local or not others:
            return float(bool(local))
        return local_share(_weight(local), whole, _weight(others), self._params.overprovisioning)

    def _side(self, classes: WeightClasses, nodes: Sequence[Node]) -> WeightClasses:
        if not nodes:  # those that are gone are let go
            return WeightClasses(self._make_picker, self._rng)
        classes.rebuild(nodes)
        return classes

    def _divided(self, nodes: Sequence[Node]) -> tuple[list[Node], list[Node]]:
        """Return the local ones of *nodes* and the others."""
        sides: tuple[list[Node], list[Node]] = ([], [])
        for node in nodes:
            sides[zone_of(node.endpoint) != self._params.zone].append(node)
        return sides


def classes_of(
    make_picker: Callable[[], Picker], rng: Random, zones: ZoneParams | None
) -> WeightClasses | ZonePreference:
    """Return what divides the nodes among pickers, with none yet."""
    return WeightClasses(make_picker, rng) if zones is None else ZonePreference(zones, make_picker, rng)


def zone_of(endpoint: Endpoint) -> str | None:
    """Return the zone that discovery puts *endpoint* in, None if it says nothing."""
    return next((value for key, value in endpoint.meta if key == ZONE), None)


def local_share(usable: float, whole: float, elsewhere: float, overprovisioning: float) -> float:
    """Return the part of the traffic for the local zone, of whose *whole* weight so much is *usable*.

    *elsewhere* is the usable weight of the other zones.
    """
    if not usable:
        return 0.0
    return min(1.0, max(usable / whole * overprovisioning, usable / (usable + elsewhere)))


def _alive(nodes: Iterable[Node]) -> list[Node]:
    return [node for node in nodes if node.accrual.health is Health.ALIVE]


def _weight(nodes: Iterable[Node]) -> float:
    return sum(node.endpoint.weight for node in nodes)
