"""How many requests may be under way at once: a fixed number, or one that is found from latency.

A server works on some requests at once and lets the others wait. More of them in flight than it works on buy no
throughput, only waiting; so the latency says when there are enough:

    gradient = tolerance x floor / latency, at least 1/2 and at most 1
    limit   += SMOOTHING x (limit x gradient + sqrt(limit) - limit)

The square root is the room to grow: where latency is normal, it is all that moves the limit. The limit moves only while
it is used, for else latency tells nothing of it.

The floor is the latency without waiting. It is learnt while fewer requests are let in, as few as the throughput needs
by Little's law; an average that goes along with the latency would be dragged up by the very overload that it is to
show.

    LEARNING --enough samples--> STEADY --every RELEARN seconds--------------------------> LEARNING
                                        --the limit was halved, or is at its lower end,
                                          and latency is high still: it is no queue------> LEARNING
                                        --latency falls far below the floor--------------> LEARNING

Both take the mean of what *ended* in a stretch of time longer than a round trip; of what began in it, the quick would
be counted and the slow not yet. Pure: all methods take *now* in seconds. Sources: Netflix's concurrency-limits
(``Gradient2Limit``: tolerance, smoothing, growth only when used), Envoy's adaptive concurrency filter (the measured
floor, the square root), BBR (the floor is learnt by draining the queue).
"""

from dataclasses import dataclass
from math import inf, sqrt
from typing import Protocol

SMOOTHING = 0.3
"""What part of the way to its new value the limit goes in one step; Netflix: 0.2."""
WINDOW = 0.1
"""Seconds that a step takes at least, and never less than a round trip: sooner its effect cannot be seen. Envoy's."""
WINDOW_SAMPLES = 10
"""Requests that a step is made of at least; Netflix's."""
LEARN_SAMPLES = 50
"""Requests that the floor is learnt from; Envoy's."""
LEARN_TIME = 1.0
"""Seconds after which ``WINDOW_SAMPLES`` are enough for that."""
CLOCK = 1e-6
"""Seconds: no latency is shorter, so that none is a division by zero."""
RELEARN = 10.0
"""Seconds between two times that the floor is learnt; BBR's. Envoy's 60 would keep a wrong one for long."""
SOON = 1.0
"""As ``RELEARN``, while each time finds less than the time before: there was a queue still."""
SETTLED = 0.8
"""A floor above so much of the one before it is no longer falling."""
FEWER = 0.8
"""What part of the requests that the throughput needs is let in while the floor is learnt, so that a queue drains."""
MUCH_FASTER = 0.5
"""Latency below so much of the floor means that the floor is wrong."""
AT_LEAST = 1 / 3
"""What part of the limit is let in at least while the floor is learnt: the one that says less may be wrong."""


@dataclass(frozen=True, slots=True)
class FixedParams:
    """Always so many."""

    limit: int


@dataclass(frozen=True, slots=True)
class GradientParams:
    """As many as latency shows to be useful, within bounds."""

    min_limit: int = 5
    max_limit: int = 1000
    initial_limit: int = 20
    tolerance: float = 1.5
    """How many times the floor the latency may be."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_limit <= self.initial_limit <= self.max_limit:
            raise ValueError(f"{self.min_limit} <= {self.initial_limit} <= {self.max_limit} does not hold")
        if not 1.0 <= self.tolerance < inf:
            raise ValueError(f"tolerance must be at least 1, not {self.tolerance}")


@dataclass(frozen=True, slots=True)
class AdmissionParams:
    """How many may be under way, and how many may wait for how many seconds."""

    limit: FixedParams | GradientParams
    max_waiters: int = 0
    max_wait: float = 1.0


class Limit(Protocol):
    """How many requests may be under way."""

    @property
    def value(self) -> int:
        """The number now; at least 1."""
        ...

    def sample(self, latency: float, in_flight: int, now: float) -> None:
        """Learn that a request was answered after *latency* seconds, with *in_flight* under way, itself included."""
        ...


class FixedLimit:
    """A number that somebody chose."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value

    def sample(self, latency: float, in_flight: int, now: float) -> None:
        """Learn nothing."""


class GradientLimit:
    """A number that follows latency."""

    __slots__ = (
        "_count",
        "_floor",
        "_learn_at",
        "_learn_from",
        "_learnt_at",
        "_limit",
        "_params",
        "_peak",
        "_since",
        "_sum",
        "value",
    )

    def __init__(self, params: GradientParams) -> None:
        self._params = params
        self._limit = float(params.initial_limit)
        self.value = params.initial_limit
        self._floor: float | None = None
        self._learn_from: float | None = -inf
        """The floor is learnt from requests that end later; None when it is not being learnt."""
        self._learn_at = inf
        self._learnt_at = self._limit
        """The limit when it was learnt last."""
        self._since = self._sum = 0.0
        self._count = self._peak = 0

    @property
    def floor(self) -> float | None:
        """The latency without waiting, in seconds; None until it is known."""
        return self._floor

    def sample(self, latency: float, in_flight: int, now: float) -> None:
        """Learn from one request, and move on when there is enough to learn from."""
        learn_from = self._learn_from
        if learn_from is not None and now < learn_from:
            return
        if not self._count:
            self._since = now
        self._count += 1
        self._sum += latency
        self._peak = max(self._peak, in_flight)
        if self._count < WINDOW_SAMPLES:
            return
        mean = max(self._sum / self._count, CLOCK)
        took = now - self._since
        if learn_from is None:
            if took >= max(WINDOW, mean):
                self._step(mean, now)
        elif took >= 2 * mean and (self._count >= LEARN_SAMPLES or took >= LEARN_TIME):
            self._learnt(mean, now)

    def _step(self, latency: float, now: float) -> None:
        floor, params = self._floor, self._params
        assert floor is not None, "the floor is learnt first"
        used = 2 * self._peak >= self._limit
        self._restart(now)
        if used:
            gradient = max(0.5, min(1.0, params.tolerance * floor / latency))
            limit = self._limit + SMOOTHING * (self._limit * gradient + sqrt(self._limit) - self._limit)
            self._limit = max(float(params.min_limit), min(float(params.max_limit), limit))
            self.value = int(self._limit)
        at_its_end = used and self._limit <= params.min_limit and latency > params.tolerance * floor
        halved = self._limit <= self._learnt_at / 2
        if now >= self._learn_at or latency < MUCH_FASTER * floor or at_its_end or halved:
            self._learn(latency, floor, now)

    def _learn(self, latency: float, floor: float, now: float) -> None:
        """Let fewer in, as many as are served without waiting, as far as is known."""
        needed = FEWER * self._limit * min(1.0, floor / latency)
        self.value = int(max(self._params.min_limit, AT_LEAST * self._limit, needed))
        self._learn_from = now + 2 * latency
        self._learnt_at = self._limit

    def _learnt(self, floor: float, now: float) -> None:
        settled = self._floor is not None and floor > SETTLED * self._floor
        self._floor = floor
        self._learn_from = None
        self._learn_at = now + (RELEARN if settled else SOON)
        self.value = int(self._limit)
        self._restart(now)

    def _restart(self, now: float) -> None:
        self._since, self._count, self._sum, self._peak = now, 0, 0.0, 0

    def __repr__(self) -> str:
        return f"<GradientLimit {self.value}, floor {self._floor}>"


def make_limit(params: FixedParams | GradientParams) -> Limit:
    """Return a limit at its beginning."""
    return FixedLimit(params.limit) if isinstance(params, FixedParams) else GradientLimit(params)
