"""Failure accrual: decides from past outcomes whether an endpoint takes traffic.

    ALIVE   --the policy has seen enough failures--> DEAD, for the first delay of the backoff
    DEAD    --a request begins when one is due-----> PROBING, until that one request ends
    PROBING --SUCCESS--> ALIVE, the backoff starts anew
            --FAILURE--> DEAD, for the next delay
            --IGNORABLE--> DEAD, and the next probe is due at once

An outcome of a request that began before the probe is a straggler: it tells of the time before the verdict
and changes nothing. Nor does any outcome while DEAD.

Source: finagle's ``FailureAccrualFactory`` and ``FailureAccrualPolicy``. The last row is a lesson from there:
without it a cancelled probe would shut the endpoint out for ever.
"""

import enum
from collections.abc import Iterator
from math import inf
from random import Random
from typing import Protocol

from balancer.backoff import Backoff
from balancer.ema import Ema
from balancer.response_class import ResponseClass
from balancer.window import WindowedSum


class Health(enum.Enum):
    """Whether an endpoint takes traffic."""

    ALIVE = "alive"
    DEAD = "dead"
    PROBING = "probing"


class Change(enum.Enum):
    """What an outcome did to the health of its endpoint."""

    EJECTED = "ejected"
    """It was alive and is dead."""
    REVIVED = "revived"
    """Its probe succeeded."""
    PROBE_LOST = "probe lost"
    """Its probe did not succeed: dead for longer, or to be probed again."""


# Plain globals: in CPython 3.11 a member looked up on its enum class costs several times as much.
_ALIVE, _DEAD, _PROBING = Health.ALIVE, Health.DEAD, Health.PROBING
_SUCCESS, _IGNORABLE = ResponseClass.SUCCESS, ResponseClass.IGNORABLE


class AccrualPolicy(Protocol):
    """Decides when an endpoint that is ALIVE has failed too often. Sees outcomes only while it is."""

    def success(self, now: float) -> None:
        """Count a success."""

    def failure(self, now: float) -> bool:
        """Count a failure; True when the endpoint is to be taken for dead."""

    def revived(self) -> None:
        """Begin anew: the endpoint is alive again."""


class FailureAccrual:
    """The health of one endpoint."""

    __slots__ = ("_backoff", "_delays", "_policy", "_probe_began", "_rng", "ejections", "health", "retry_at")

    def __init__(self, policy: AccrualPolicy, backoff: Backoff, rng: Random) -> None:
        self._policy = policy
        self._backoff = backoff
        self._rng = rng
        self._delays: Iterator[float] = backoff.delays(rng)
        self._probe_began = -inf
        self.health = Health.ALIVE
        self.retry_at = inf
        """When the next probe is due; infinity unless DEAD."""
        self.ejections = 0
        """How often it went from ALIVE to DEAD; a failed probe is not another ejection."""

    def available(self, now: float) -> bool:
        """Return whether a request may go there: it is alive, or a probe is due."""
        return self.health is _ALIVE or now >= self.retry_at

    def begin_probe(self, now: float) -> bool:
        """Make the request that begins at *now* the probe, if one is due; say whether it is."""
        if now < self.retry_at:
            return False
        self.health = _PROBING
        self.retry_at = inf
        self._probe_began = now
        return True

    def record(self, outcome: ResponseClass, started: float, now: float) -> Change | None:
        """Count the end, at *now*, of a request begun at *started*, and return what it changed."""
        if self.health is _ALIVE:
            if outcome is _SUCCESS:
                self._policy.success(now)
                return None
            if outcome is _IGNORABLE or started < self._probe_began or not self._policy.failure(now):
                return None
            self.ejections += 1
            self._die(now)
            return Change.EJECTED
        if self.health is _DEAD or started < self._probe_began:
            return None
        if outcome is _SUCCESS:
            self._revive()
            return Change.REVIVED
        if outcome is _IGNORABLE:
            self.health = _DEAD
            self.retry_at = now
        else:
            self._die(now)
        return Change.PROBE_LOST

    def _die(self, now: float) -> None:
        self.health = _DEAD
        self.retry_at = now + next(self._delays)

    def _revive(self) -> None:
        self.health = _ALIVE
        self._delays = self._backoff.delays(self._rng)
        self._policy.revived()


class NeverFails:
    """Kind ``none``: no number of failures makes an endpoint dead."""

    __slots__ = ()

    def success(self, now: float) -> None:
        """Count nothing."""

    def failure(self, now: float) -> bool:  # noqa: ARG002 - whenever it was
        """Count nothing."""
        return False

    def revived(self) -> None:
        """Never happens."""


class ConsecutiveFailures:
    """Kind ``consecutiveFailures``: trips at *failures* in a row."""

    __slots__ = ("_failures", "_in_a_row")

    def __init__(self, failures: int) -> None:
        self._failures = failures
        self._in_a_row = 0

    def success(self, now: float) -> None:  # noqa: ARG002 - only the order counts
        """Forgive what came before."""
        self._in_a_row = 0

    def failure(self, now: float) -> bool:  # noqa: ARG002 - only the order counts
        """Count one more in a row."""
        self._in_a_row += 1
        return self._in_a_row >= self._failures

    def revived(self) -> None:
        """Start at zero."""
        self._in_a_row = 0


class SuccessRate:
    """Kind ``successRate``: trips when the average success of some *requests* requests is below *required*.

    The average is an ``Ema`` over the number of the request, and is looked at only after *requests* of them.
    """

    __slots__ = ("_rate", "_requests", "_required", "_seen")

    def __init__(self, required: float, requests: int) -> None:
        self._required = required
        self._requests = requests
        self._rate = Ema(requests)
        self._seen = 0

    def success(self, now: float) -> None:  # noqa: ARG002 - only the order counts
        """Count a request as 1."""
        self._seen += 1
        self._rate.update(1.0, self._seen)

    def failure(self, now: float) -> bool:  # noqa: ARG002 - only the order counts
        """Count a request as 0."""
        self._seen += 1
        rate = self._rate.update(0.0, self._seen)
        return self._seen >= self._requests and rate < self._required

    def revived(self) -> None:
        """Start with no history."""
        self._rate.reset()
        self._seen = 0


class SuccessRateWindowed:
    """Kind ``successRateWindowed``: trips when the average success over *window* seconds is below *required*.

    The average is an ``Ema`` over time. It is looked at only when the history is a window long and holds
    ``MINIMUM_REQUESTS`` within the last window.
    """

    MINIMUM_REQUESTS = 5

    __slots__ = ("_rate", "_recent", "_required", "_since", "_window")

    def __init__(self, required: float, window: float) -> None:
        self._required = required
        self._window = window
        self._rate = Ema(window)
        self._recent = WindowedSum(window)
        self._since: float | None = None

    def success(self, now: float) -> None:
        """Count a request as 1."""
        self._count(1.0, now)

    def failure(self, now: float) -> bool:
        """Count a request as 0."""
        since = self._count(0.0, now)
        return (
            self._rate.value < self._required
            and now - since >= self._window
            and self._recent.total(now) >= self.MINIMUM_REQUESTS
        )

    def revived(self) -> None:
        """Start with no history."""
        self._rate.reset()
        self._recent = WindowedSum(self._window)
        self._since = None

    def _count(self, success: float, now: float) -> float:
        """Take in one request and return when the history began."""
        if self._since is None:
            self._since = now
        self._rate.update(success, now)
        self._recent.add(1, now)
        return self._since
