"""What a bound name does with a request: draw a branch, try, and try again where that is safe.

A `Service` is composed once, when its name is bound, and used until the binding changes. What the name's policy does
not ask for is not in it, and costs a request nothing.
"""

from __future__ import annotations

import logging
import random
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from logging import DEBUG
from math import inf
from typing import TypeAlias

import structlog
import trio

from balancer.budget import RetryBudget
from balancer.hedge import HedgeParams
from balancer.limiter import AdmissionParams
from balancer.params import RetryBudgetParams
from balancer.response_class import ResponseClass
from namer.binding import Share
from namer.path import Path
from nodeagent.proxy import deadline
from nodeagent.proxy.attemptspan import Around, as_they_are
from nodeagent.proxy.balance import Client
from nodeagent.proxy.classify import Classify
from nodeagent.proxy.clientcert import with_client_cert
from nodeagent.proxy.errors import (
    AllDead,
    ConnectionStale,
    DeadlineExceeded,
    EndpointFull,
    NoSuchName,
    ProxyError,
    TrialTimeout,
)
from nodeagent.proxy.hedge import Hedges
from nodeagent.proxy.messages import Request, Response, block_of
from nodeagent.proxy.rehost import Rehosted, Send, without_subset
from nodeagent.proxy.retry import can_replay, is_repeatable, may_repeat, rewind
from nodeagent.proxy.room import has_others, has_room
from nodeagent.proxy.tunnel import Opened
from nodeagent.telemetry.exchange import Derivation
from nodeagent.telemetry.stats import ServiceStats

log = structlog.get_logger("nodeagent.retry")
is_enabled = logging.getLogger("nodeagent.retry").isEnabledFor

_RETRYABLE = ResponseClass.RETRYABLE

HOLD_BACK = 2.0
"""Seconds for which a trial that is due waits for a request that can be repeated, before it is any other's."""


@dataclass(frozen=True, slots=True)
class ServicePolicy:
    """How a logical name is served; seconds."""

    classify: Classify
    retry_methods: frozenset[bytes]
    """Methods that the classifier lets be retried after an attempt's timeout."""
    backoffs: Callable[[random.Random], Iterator[float]]
    """Makes the delays before the second, third... attempt of one request."""
    total_timeout: float | None = None
    budget: RetryBudgetParams = RetryBudgetParams()
    hedging: HedgeParams | None = None
    """When an attempt that takes long is made a second time; None: never."""
    max_retries: int = 5
    """Repeats of one request that may have reached a backend."""
    admission: AdmissionParams | None = None


Leaves: TypeAlias = tuple[tuple[Share, Client], ...]
"""Concrete names with what calls them, and their shares of the traffic."""


Renew: TypeAlias = Callable[[], Awaitable["Service"]]
"""Gives the service that took the place of another."""


class Branch:
    """One leaf of a bound name: the client, how it is called, and the fields that tell the backend how it was found."""

    __slots__ = ("client", "fields", "send", "weight")

    def __init__(self, name: Path, share: Share, client: Client, send: Send) -> None:
        self.client = client
        self.weight = share.weight
        self.send = send
        if share.bound.authority is not None:
            self.send = Rehosted(self.send, share.bound.authority.encode("latin-1")).send
        if client.policy.forward_client_cert:
            self.send = with_client_cert(self.send)
        if any(";" in label for label in name):
            self.send = without_subset(self.send)
        lines = [f"l5d-dst-service: {name.show()}", f"l5d-dst-client: {share.bound.id.show()}"]
        if len(share.bound.residual):
            lines.append(f"l5d-dst-residual: {share.bound.residual.show()}")
        self.fields = block_of(line.encode("latin-1") for line in lines)


class Service:
    """A bound logical name."""

    def __init__(
        self,
        name: Path,
        leaves: Leaves,
        recovering: Leaves,
        *,
        policy: ServicePolicy,
        budget: RetryBudget,
        hedges: Hedges | None,
        stats: ServiceStats,
        rng: random.Random,
        release: Callable[[], None],
        around: Around = as_they_are,
    ) -> None:
        """Traffic goes to `leaves`. Those of `recovering` would be better and had no usable endpoint: they get a
        request whenever their balancers ask for a trial.

        `release` is called once when the binding lets go of the service. `around` stands around each attempt.
        """
        self.name = name
        self.label = name.show()
        self.derivation: Derivation | None = None
        """How the name came to be bound as it is, for whoever tells of its requests."""
        self.policy = policy
        self.budget = budget
        self.hedges = hedges
        self.stats = stats
        self.release = release
        self._around = around
        self.made_of = (leaves, recovering)
        self.clients = tuple(client for _, client in leaves)
        self.branches = tuple(Branch(name, share, client, self._attempts_of(client)) for share, client in leaves)
        self._recovering = tuple(Branch(name, share, client, around(client.trial)) for share, client in recovering)
        self._edges = tuple(accumulate(share.weight for share, _ in leaves))
        whole = len(self.branches) == 1 and self._edges[0] >= 1.0 and not recovering
        self._single = self.branches[0] if whole else None
        self.ready = not any(client.pending for client in self.clients)
        """False while discovery has not yet told the addresses of some branch."""
        self.successor: Callable[[Service], Renew | None] = no_successor
        """Tells what gives the service that took the place of the one it is given, None while none did.

        It is given this one, rather than to know it: a service that was replaced must not hold itself.
        """
        self._rng = rng
        self.now: Callable[[], float] = trio.lowlevel.current_clock().current_time

    def _attempts_of(self, client: Client) -> Send:
        send = self._around(client.send)
        return send if self.hedges is None else self.hedges.around(client, send, self.stats)

    def __call__(self, request: Request) -> Awaitable[Response]:
        """Return the head of the response that the caller gets. Raises ProxyError. Cancelling ends the attempt."""
        if self.policy.total_timeout is None and request.deadline == inf:
            return self._attempts(request)
        return self._attempts_in_time(request)

    async def _attempts_in_time(self, request: Request) -> Response:
        total = self.policy.total_timeout
        if total is not None:
            request.deadline = min(request.deadline, request.received_at + total)
        self._check_deadline(request)
        with trio.move_on_at(request.deadline):
            return await self._attempts(request)
        raise self._too_late(request)

    def _check_deadline(self, request: Request) -> None:
        if request.deadline <= self.now():
            raise DeadlineExceeded(f"{self.name.show()}: its deadline had passed before it was sent", unsent=True)

    def _too_late(self, request: Request) -> DeadlineExceeded:
        waited = self.now() - request.received_at
        text = f"{self.name.show()}: its deadline passed after {waited * 1000:.0f} ms"
        return DeadlineExceeded(text + _tried(request))

    def _attempts(self, request: Request) -> Awaitable[Response]:
        self.budget.deposit(request.received_at)
        return self._attempts_after(0, 0, request, request.fields)

    async def _attempts_after(self, attempt: int, repeats: int, request: Request, base: bytes) -> Response:
        """Go on after so many attempts and, of them, repeats of what may have reached a backend.

        `base` are the fields that all attempts have.
        """
        policy = self.policy
        delays: Iterator[float] | None = None
        failed: tuple[Branch, ...] = ()
        while True:
            if failed and (renew := self.successor(self)) is not None:
                return await (await renew())._attempts_after(attempt, repeats, request, base)
            attempt += 1
            branch = self._single or self._choose(request, failed)
            request.fields = base + branch.fields
            if request.deadline != inf:
                request.fields += deadline.render(request.deadline - self.now(), time.time_ns())
            try:
                response = await branch.send(request, policy.classify)
            except ProxyError as error:
                failed = _with(failed, branch)
                if not self._again(request, error, attempt, branch, failed, repeats):
                    error.message += _tried(request)
                    raise
                if error.unsent:
                    rewind(request)
                    continue  # nothing was sent, so there is nobody to spare by a pause
                repeats += not isinstance(error, TrialTimeout)
            else:
                if response.verdict is not _RETRYABLE:
                    return response
                if repeats >= policy.max_retries or not can_replay(request) or not self._has_usable():
                    return response
                if not self._withdraw():
                    return response
                repeats += 1
                response.close()
                failed = _with(failed, branch)
                request.tried += (f"status {response.status}",)
                self.stats.retries["status"] += 1
                if is_enabled(DEBUG):
                    log.debug("an answer is tried again", name=self.name.show(), status=response.status)
            rewind(request)
            delays = delays or policy.backoffs(self._rng)
            await trio.sleep(next(delays))

    def _again(
        self,
        request: Request,
        error: ProxyError,
        attempt: int,
        branch: Branch,
        failed: tuple[Branch, ...],
        repeats: int,
    ) -> bool:
        """Decide on another attempt after `error`, and pay for it. So many were `repeats` of what may have been sent.

        What was never sent is free when it goes on to another branch, which knows nothing of it, and else paid by the
        concrete name. A trial is free: it was not the caller's idea. The rest is paid by the logical name.
        """
        replaced = self.successor(self) is not None
        able = [other for other in self.branches if other.weight]
        nodes = (node for other in able for node in other.client.balancer.nodes)
        if isinstance(error, EndpointFull):  # nothing was dialled, so going on is free
            goes_on = elsewhere = replaced or has_room(nodes, request.avoid, error.waited)
        else:
            goes_on = replaced or any(other not in failed for other in able)
            elsewhere = goes_on or (not isinstance(error, AllDead) and has_others(nodes, request.avoid))
        hope = repeats < self.policy.max_retries and self._has_usable()
        methods = self.policy.retry_methods
        if not may_repeat(error, request, methods, attempt, repeats=repeats, elsewhere=elsewhere, hope=hope):
            return False
        free = goes_on if error.unsent else isinstance(error, TrialTimeout)
        if not free and not (self._requeue(request, error, branch) if error.unsent else self._withdraw()):
            return False
        request.tried += (error.message,)
        self.stats.retries[error.type] += 1
        if is_enabled(DEBUG):
            log.debug("an attempt is tried again", name=self.name.show(), attempt=attempt, error=error.message)
        return True

    def _has_usable(self) -> bool:
        """Tell whether an endpoint is alive or due for a trial: to ask others again is load, and no help."""
        now = self.now()
        return self.successor(self) is not None or any(
            branch.weight and (branch.client.balancer.usable or branch.client.balancer.probe_due(now))
            for branch in self.branches
        )

    def _requeue(self, request: Request, error: ProxyError, branch: Branch) -> bool:
        return branch.client.may_requeue(request, always=isinstance(error, ConnectionStale))

    def _withdraw(self) -> bool:
        if self.budget.try_withdraw(self.now()):
            return True
        self.stats.budget_exhausted += 1
        return False

    def _choose(self, request: Request, failed: tuple[Branch, ...]) -> Branch:
        """Choose a branch: one that is due for a trial, else one by its share."""
        if self._recovering and not failed:
            due = self.now() - (0.0 if is_repeatable(request) else HOLD_BACK)
            for branch in self._recovering:
                if branch.client.balancer.probe_due(due):
                    return branch
        return self._draw(failed)

    def _draw(self, failed: tuple[Branch, ...]) -> Branch:
        """Draw a branch by its share; a retry takes one that has not failed yet, while there is one."""
        if failed:
            able = [branch for branch in self.branches if branch.weight]
            fresh = [branch for branch in able if branch not in failed] or able
            if fresh:
                return self._rng.choices(fresh, [branch.weight for branch in fresh])[0]
        at = bisect_right(self._edges, self._rng.random())
        if at < len(self.branches):
            return self.branches[at]
        why = (
            "this share of its traffic is bound to Empty" if self._edges[-1] else "none of its branches has any weight"
        )
        raise NoSuchName(f"bind {self.name.show()}: {why}")

    async def connect(self, request: Request) -> Opened:
        """Open a tunnel's connection to one endpoint, another one when the first refuses. As `__call__`."""
        self._check_deadline(request)
        with trio.move_on_at(request.deadline):
            return await self._connect_after(0, request)
        raise self._too_late(request)

    async def _connect_after(self, attempt: int, request: Request) -> Opened:
        failed: tuple[Branch, ...] = ()
        while True:
            if failed and (renew := self.successor(self)) is not None:
                return await (await renew())._connect_after(attempt, request)
            attempt += 1
            branch = self._single or self._choose(request, failed)
            try:
                return await branch.client.connect(request)
            except ProxyError as error:
                failed = _with(failed, branch)
                if not self._again(request, error, attempt, branch, failed, 0):
                    error.message += _tried(request)
                    raise

    async def wait_ready(self) -> None:
        """Wait until each branch heard of its addresses. Cancelling is safe."""
        for client in self.clients:
            await client.wait_ready()
        self.ready = True


def no_successor(service: Service) -> Renew | None:  # noqa: ARG001
    """The answer of a service that nothing takes the place of."""
    return None


def _with(failed: tuple[Branch, ...], branch: Branch) -> tuple[Branch, ...]:
    return failed if branch in failed else (*failed, branch)


def _tried(request: Request) -> str:
    if not request.tried:
        return ""
    different = list(dict.fromkeys(request.tried))[-3:]
    return f" (tried {len(request.tried) + 1} times; before: {'; '.join(different)})"
