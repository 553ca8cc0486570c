"""Failure accrual: decides from past outcomes whether an endpoint takes traffic.

    ALIVE   --the policy has seen enough failures--> DEAD, for the first delay of the backoff
            --REFUSED--> DEAD, for the first delay of the backoff of refusals, which is short
            --it asks to be left alone--> DEAD, for as long as it asks
    DEAD    --a request begins when one is due-----> PROBING, until that one request ends
            --SUCCESS, when it is for a refusal----> ALIVE
            --REFUSED, of one that gets traffic all the same--> DEAD for a refusal, and the delay goes on
    PROBING --SUCCESS--> ALIVE, the backoff starts anew
            --FAILURE, REFUSED, REJECTED--> DEAD, for the next delay
            --IGNORABLE--> DEAD, and the next probe is due at once; after PATIENCE seconds as FAILURE
            --no end within OVERDUE seconds--> another request may be a probe too
    any     --health checks say down---------> DEAD, and no request is a probe, until they say up: ALIVE

An outcome of a request that began before the last of these changes is a straggler: it tells of the time before
the verdict and changes nothing.

An endpoint that failed is judged by a policy, because it may fail some requests and serve others. One that cannot
be connected to serves none, so the first refusal is enough; and it takes little to find out that it is back, so
it is asked soon. When a refusal is also the failure that the policy was waiting for, the policy's verdict counts.

REJECTED (429) is neither a success nor a failure of an endpoint that is alive: it works, and has enough to do.

Source: finagle's ``FailureAccrualFactory`` and ``FailureAccrualPolicy``, and ``FailFastFactory`` for refusals. The
row of IGNORABLE is a lesson from there: without it a cancelled probe would shut the endpoint out for ever. But one
that was given up after a while tells of an endpoint that does not answer, and each of them costs somebody that while.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Protocol

from balancer.backoff import Backoff
from balancer.response_class import ResponseClass

PATIENCE = 1.0
"""Seconds after which a probe that is given up has failed."""


OVERDUE = 30.0
"""Seconds after which a probe that has not ended does not keep another one from being sent."""

COURTESY = 1.0
"""Seconds that a verdict of somebody else leaves the probe to who found it."""


class Health(enum.Enum):
    """Whether an endpoint takes traffic."""

    ALIVE = "alive"
    DEAD = "dead"
    PROBING = "probing"


class Reason(enum.Enum):
    """Why an endpoint is not alive."""

    FAILURES = "failures"
    """The policy saw enough of them."""
    REFUSED = "refused"
    """It could not be connected to."""
    ASKED = "asked"
    """It asked to be left alone for a while (``Retry-After``)."""
    CHECKS = "checks"
    """Its health checks fail."""


OVERLOOKED = frozenset((Reason.FAILURES, Reason.ASKED))
"""Reasons for which an endpoint is dead that may get traffic all the same: it takes connections."""


class Change(enum.Enum):
    """What an outcome did to the health of its endpoint."""

    EJECTED = "ejected"
    """It was alive and is dead, by the verdict of the policy."""
    REFUSED = "refused"
    """It was alive and is dead, because it could not be connected to."""
    GONE = "gone"
    """It was dead for another reason, and cannot be connected to either."""
    ASKED = "asked"
    """It is dead for as long as it asked to be left alone."""
    CHECKED_OUT = "checked out"
    """It is dead, whatever it was, because its health checks fail."""
    REVIVED = "revived"
    """It is alive again."""
    PROBE_LOST = "probe lost"
    """Its probe did not succeed: dead for longer, or to be probed again."""


# Plain globals: in CPython 3.11 a member looked up on its enum class costs several times as much.
_ALIVE, _DEAD, _PROBING = Health.ALIVE, Health.DEAD, Health.PROBING
_SUCCESS, _IGNORABLE = ResponseClass.SUCCESS, ResponseClass.IGNORABLE
_FAILURE, _REFUSED, _REJECTED = ResponseClass.FAILURE, ResponseClass.REFUSED, ResponseClass.REJECTED


@dataclass(frozen=True, slots=True)
class Verdict:
    """The health of an endpoint as one of several processes found it; of two, that of the higher version is newer."""

    version: float
    health: Health
    reason: Reason | None
    retry_at: float
    dead_since: float


class AccrualPolicy(Protocol):
    """Decides when an endpoint that is ALIVE has failed too often. Sees outcomes only while it is."""

    def success(self, now: float) -> None:
        """Count a success."""

    def failure(self, now: float) -> bool:
        """Count a failure; True when the endpoint is to be taken for dead."""

    def revived(self) -> None:
        """Begin anew: the endpoint is alive again."""


class FailureAccrual:
    """The health of one endpoint. Without *refusal_backoff* a refusal is a failure like any other."""

    __slots__ = (
        "_backoff",
        "_changed_at",
        "_delays",
        "_policy",
        "_refusal_backoff",
        "_rng",
        "dead_since",
        "ejections",
        "health",
        "reason",
        "retry_at",
    )

    def __init__(
        self, policy: AccrualPolicy, backoff: Backoff, rng: Random, refusal_backoff: Backoff | None = None
    ) -> None:
        self._policy = policy
        self._backoff = backoff
        self._refusal_backoff = refusal_backoff
        self._rng = rng
        self._delays: Iterator[float] = iter(())
        self._changed_at = -inf
        """Requests that began before are stragglers."""
        self.health = Health.ALIVE
        self.reason: Reason | None = None
        """Why it is DEAD or PROBING; None while ALIVE."""
        self.retry_at = inf
        """When the next probe is due; infinity while ALIVE."""
        self.dead_since = inf
        """When it was last ALIVE; infinity while it is."""
        self.ejections = 0
        """How often the policy found it DEAD; neither a failed probe nor a refusal is an ejection."""

    def available(self, now: float) -> bool:
        """Return whether a request may go there: it is alive, or a probe is due."""
        return self.health is _ALIVE or now >= self.retry_at

    def begin_probe(self, now: float) -> bool:
        """Make the request that begins at *now* the probe, if one is due; say whether it is."""
        if now < self.retry_at:
            return False
        if self.health is not _PROBING:
            self.health = _PROBING
            self._changed_at = now
        self.retry_at = now + OVERDUE
        return True

    def record(self, outcome: ResponseClass, started: float, now: float) -> Change | None:
        """Count the end, at *now*, of a request begun at *started*, and return what it changed."""
        if self.health is _ALIVE:
            if outcome is _SUCCESS:
                self._policy.success(now)
                return None
            if outcome is _IGNORABLE or outcome is _REJECTED or started < self._changed_at:
                return None
            return self._failed(outcome, now)
        if started < self._changed_at:
            return None
        if self.health is _DEAD:
            return self._tried(outcome, started, now)
        return self._probed(outcome, started, now)

    def leave_alone(self, until: float, now: float) -> Change | None:
        """Heed an endpoint that asks for no requests before *until*, and return what that changed."""
        if self.health is not _ALIVE:
            self.retry_at = max(self.retry_at, until)
            return None
        self._delays = (self._refusal_backoff or self._backoff).delays(self._rng)
        self._die(Reason.ASKED, now)
        self.retry_at = until
        return Change.ASKED

    def checked(self, up: bool, now: float) -> Change | None:
        """Heed the verdict of health checks, and return what it changed.

        While it is *down*, outcomes of requests change nothing. *Up* ends that and no more: an endpoint that the policy
        ejected may well pass its checks, because they ask for less than requests do (Envoy lets them end an ejection,
        and warns of it: ``successful_active_health_check_uneject_host``). One that was down and came up was mended or
        started anew, so it begins without history, whatever the policy had held against it (as in HAProxy).
        """
        if up is (self.reason is not Reason.CHECKS):
            return None
        if up:
            return self._revive(now)
        if self.health is _ALIVE:
            self.dead_since = now
        self.health = _DEAD
        self.reason = Reason.CHECKS
        self.retry_at = inf
        self._changed_at = now
        return Change.CHECKED_OUT

    def follow(self, verdict: Verdict, now: float) -> None:
        """Take over what another process found: it counts nothing, and the probe is left to that one for a while."""
        if verdict.health is _ALIVE:
            if self.health is not _ALIVE:
                self._revive(now)
            return
        if self.health is _ALIVE:
            refusals = None if verdict.reason is Reason.FAILURES else self._refusal_backoff
            self._delays = (refusals or self._backoff).delays(self._rng)
        self.health = _DEAD
        self.reason = verdict.reason
        self.retry_at = verdict.retry_at + COURTESY
        self.dead_since = verdict.dead_since
        self._changed_at = now

    def _failed(self, outcome: ResponseClass, now: float) -> Change | None:
        """Judge a failure of an endpoint that was alive."""
        if self._policy.failure(now):
            self.ejections += 1
            self._delays = self._backoff.delays(self._rng)
            self._die(Reason.FAILURES, now)
            return Change.EJECTED
        if self._is_gone(outcome):
            assert self._refusal_backoff is not None
            self._delays = self._refusal_backoff.delays(self._rng)
            self._die(Reason.REFUSED, now)
            return Change.REFUSED
        return None

    def _tried(self, outcome: ResponseClass, started: float, now: float) -> Change | None:
        """Heed the end of a request that went there although the endpoint is dead."""
        if outcome is _SUCCESS and self.reason is Reason.REFUSED:
            return self._revive(started)
        if self._is_gone(outcome) and self.reason in OVERLOOKED:
            self.reason = Reason.REFUSED
            self._changed_at = now
            return Change.GONE
        return None

    def _is_gone(self, outcome: ResponseClass) -> bool:
        return outcome is _REFUSED and self._refusal_backoff is not None

    def _probed(self, outcome: ResponseClass, started: float, now: float) -> Change:
        """Heed the end of the probe, or of a request that began later."""
        if outcome is _SUCCESS:
            return self._revive(started)
        if outcome is _IGNORABLE and now - started < PATIENCE:
            self.health = _DEAD
            self.retry_at = now
        elif self._is_gone(outcome):
            self._die(Reason.REFUSED, now)
        else:
            self._die(Reason.FAILURES if outcome is _FAILURE else self.reason, now)
        return Change.PROBE_LOST

    def _die(self, reason: Reason | None, now: float) -> None:
        if self.health is _ALIVE:
            self.dead_since = now
        self.health = _DEAD
        self.reason = reason
        self.retry_at = now + next(self._delays)
        self._changed_at = now

    def _revive(self, started: float) -> Change:
        self.health = _ALIVE
        self.reason = None
        self.retry_at = inf
        self.dead_since = inf
        self._changed_at = started
        self._policy.revived()
        return Change.REVIVED
