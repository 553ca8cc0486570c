"""Weights: endpoints of equal weight form a class, and a class is drawn before the endpoint.

A class is drawn with probability weight x size / total, the size being its usable endpoints, so that the
death of some does not leave their share on the rest. Each class has a picker of its own, which lives as long
as the class does.

Source: finagle's ``TrafficDistributor``. It counts all endpoints in the size, not only the usable ones.
"""

from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random

from balancer.node import Node
from balancer.picker import Drawn, Picker


class WeightClasses:
    """Picks a class by weight, then a node by the picker of that class."""

    local_share = None
    """No zone is preferred: for the one in whose place this is, ``zones.ZonePreference``."""

    __slots__ = ("_bounds", "_classes", "_make_picker", "_pickers", "_random", "_total", "drawn")

    def __init__(self, make_picker: Callable[[], Picker], rng: Random) -> None:
        self._make_picker = make_picker
        self._random = rng.random
        self._classes: dict[float, Picker] = {}
        self._pickers: list[Picker] = []
        self._bounds: list[float] = []
        self._total = 0.0
        self.drawn: Drawn = ()

    def rebuild(self, nodes: Sequence[Node], everybody: Sequence[Node] | None = None) -> None:  # noqa: ARG002 - see zones
        """Group *nodes* by weight and choose among them from now on."""
        groups: dict[float, list[Node]] = {}
        for node in nodes:
            groups.setdefault(node.endpoint.weight, []).append(node)
        self._classes = {weight: self._classes.get(weight) or self._make_picker() for weight in groups}
        for weight, group in groups.items():
            self._classes[weight].rebuild(group)
        self._pickers = list(self._classes.values())
        *self._bounds, self._total = accumulate(weight * len(group) for weight, group in groups.items())

    def only(self) -> Picker | None:
        """Return the picker that chooses among all nodes, when they have one weight."""
        return self._pickers[0] if len(self._pickers) == 1 else None

    def pick(self, now: float) -> Node:
        """Return a node for the next request."""
        picker = self._pickers[bisect(self._bounds, self._random() * self._total)]
        node = picker.pick(now)
        self.drawn = picker.drawn
        return node
