"""Active health checks: when an endpoint is checked, and what a row of results says of it. Pure.

    up    --*fall* failures in a row--> down
    down  --*rise* passes in a row----> up

An endpoint is up until its checks say otherwise: discovery has just named it, and an agent that starts would else serve
nobody for *rise* intervals.

Source: HAProxy's ``inter``, ``rise`` and ``fall``, with the first check spread as by its ``spread-checks``.
"""

from dataclasses import dataclass
from math import inf
from random import Random

JITTER = 0.1
"""How much an interval may be shorter or longer, as a part of it: so that agents do not check in step."""


@dataclass(frozen=True, slots=True)
class CheckSchedule:
    """When an endpoint is checked, in seconds, and how many results in a row turn the verdict."""

    interval: float = 5.0
    rise: int = 2
    fall: int = 3

    def __post_init__(self) -> None:
        for name, value in (("interval", self.interval), ("rise", self.rise), ("fall", self.fall)):
            if not 0 < value < inf:
                raise ValueError(f"{name} must be above 0, not {value}")

    def first_delay(self, rng: Random) -> float:
        """Return the seconds until the first check: anything up to an interval."""
        return rng.uniform(0.0, self.interval)

    def next_delay(self, rng: Random) -> float:
        """Return the seconds from when one check was due until the next one is."""
        return self.interval * rng.uniform(1.0 - JITTER, 1.0 + JITTER)


class RiseAndFall:
    """The verdict on one endpoint."""

    __slots__ = ("_against", "_fall", "_rise", "up")

    def __init__(self, rise: int, fall: int) -> None:
        self._rise = rise
        self._fall = fall
        self._against = 0
        """Results in a row that contradict ``up``."""
        self.up = True

    def heard(self, passed: bool) -> bool:
        """Take in the result of a check and return whether it turned ``up``."""
        if passed is self.up:
            self._against = 0
            return False
        self._against += 1
        if self._against < (self._fall if self.up else self._rise):
            return False
        self._against = 0
        self.up = passed
        return True
