"""Experiments in virtual time: callers that give up, try again or hedge, a balancer, and servers that misbehave.

As `farm`, with what stands above a balancer. Everything is drawn from seeds, so an experiment has one result.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import count
from math import ceil, inf
from random import Random

from balancer.balancer import Balancer
from balancer.hedge import HedgeDelay, HedgeParams, make_hedge_budget
from balancer.node import Node
from balancer.response_class import ResponseClass
from tests.balancer.farm import Server

FAILURE, SUCCESS = ResponseClass.FAILURE, ResponseClass.SUCCESS
GIVEN_UP, LOST = ResponseClass.GIVEN_UP, ResponseClass.LOST


def normal(mean: float, deviation: float, seed: int) -> Server:
    """Return a server whose latency is normally distributed, in seconds."""
    draw = Random(seed).gauss
    return lambda _: (max(draw(mean, deviation), 0.0), SUCCESS)


def flaky(latency: float, success: float, seed: int) -> Server:
    """Return a server that answers after *latency*, well in this part of the cases."""
    draw = Random(seed).random
    return lambda _: (latency, SUCCESS if draw() < success else FAILURE)


def slow(usually: Server, since: float, until: float, latency: float) -> Server:
    """Return a server that takes *latency* for what arrives from *since* to *until*."""
    return lambda now: (latency, SUCCESS) if since <= now < until else usually(now)


class _Call:
    """One request of a caller: its attempts that are out, and the endpoints that failed it."""

    __slots__ = ("avoid", "done", "first", "out", "retries", "started")

    def __init__(self, started: float, retries: int) -> None:
        self.started = started
        self.retries = retries
        self.avoid: tuple[Node, ...] = ()
        self.out: list[_Attempt] = []
        self.first: _Attempt | None = None
        self.done = False


class _Attempt:
    __slots__ = ("call", "node", "outcome", "started")

    def __init__(self, call: _Call, node: Node, started: float, outcome: ResponseClass) -> None:
        self.call = call
        self.node = node
        self.started = started
        self.outcome = outcome


class Experiment:
    """Requests that arrive at random, and what became of them."""

    def __init__(
        self,
        balancer: Balancer,
        servers: Mapping[int, Server],
        *,
        patience: float = inf,
        retries: int = 0,
        hedging: HedgeParams | None = None,
        seed: int = 7,
    ) -> None:
        """Callers wait for *patience* seconds; a failed attempt is made again elsewhere, *retries* times."""
        self.balancer = balancer
        self.servers = servers
        self.attempts: Counter[int] = Counter()
        """By port."""
        self.calls = self.failed = self.copies = 0
        self.latencies: list[float] = []
        """Of calls that were answered well."""
        self._patience = patience
        self._retries = retries
        self._hedging = hedging
        if hedging is not None:
            self._delay = HedgeDelay(hedging)
            self._budget = make_hedge_budget(hedging)
        self._rng = Random(seed)
        self._order = count()
        self._events: list[tuple[float, int, Callable[..., None], object]] = []

    @property
    def success(self) -> float:
        """The part of the calls that were answered well and in time."""
        return len(self.latencies) / self.calls

    @property
    def extra(self) -> float:
        """Attempts beyond the first, for each call."""
        return self.attempts.total() / self.calls - 1

    def percentile(self, percent: float) -> float:
        """Return the latency in seconds that so many of a hundred good answers do not exceed."""
        return sorted(self.latencies)[ceil(len(self.latencies) * percent / 100) - 1]

    def run(self, rate: float, seconds: float) -> Experiment:
        """Let *rate* calls a second arrive for *seconds* from 0 s on, and all of them end."""
        now = 0.0
        while (now := now + self._rng.expovariate(rate)) < seconds:
            self._until(now)
            self._arrive(now)
        self._until(inf)
        return self

    def _until(self, time: float) -> None:
        events = self._events
        while events and events[0][0] <= time:
            now, _, happen, subject = heapq.heappop(events)
            happen(subject, now)

    def _at(self, time: float, happen: Callable[..., None], subject: object) -> None:
        heapq.heappush(self._events, (time, next(self._order), happen, subject))

    def _arrive(self, now: float) -> None:
        call = _Call(now, self._retries)
        self.calls += 1
        ends = self._attempt(call, now)
        call.first = call.out[0]
        if self._hedging is not None:
            self._budget.deposit(now)
            copy = now + self._delay.delay(now)
            if copy < ends:
                self._at(copy, self._copy, call)

    def _attempt(self, call: _Call, now: float) -> float:
        """Make an attempt and return when it ends."""
        node = self.balancer.pick(now, call.avoid)
        assert node is not None
        self.balancer.begin(node, now)
        port = node.endpoint.port
        self.attempts[port] += 1
        latency, outcome = self.servers[port](now)
        attempt = _Attempt(call, node, now, outcome)
        call.out.append(attempt)
        patient = call.started + self._patience
        if now + latency <= patient:
            self._at(now + latency, self._ended, attempt)
        else:
            self._at(patient, self._give_up, call)
        return min(now + latency, patient)

    def _copy(self, call: _Call, now: float) -> None:
        if not call.out or not self._budget.try_withdraw(now):
            return
        self.copies += 1
        before, call.avoid = call.avoid, (*call.avoid, call.out[0].node)
        self._attempt(call, now)
        call.avoid = before

    def _ended(self, attempt: _Attempt, now: float) -> None:
        call = attempt.call
        if attempt not in call.out:
            return  # it was cancelled
        self._end(attempt, attempt.outcome, now)
        if attempt.outcome is SUCCESS:
            self.latencies.append(now - call.started)
            self._cancel(call, now, attempt)
        elif not call.out:
            call.avoid += (attempt.node,)
            if call.retries:
                call.retries -= 1
                self._attempt(call, now)
            else:
                self._fail(call)

    def _give_up(self, call: _Call, now: float) -> None:
        if not call.done:
            self._cancel(call, now)
            self._fail(call)

    def _fail(self, call: _Call) -> None:
        call.done = True
        self.failed += 1

    def _cancel(self, call: _Call, now: float, winner: _Attempt | None = None) -> None:
        call.done = True
        for attempt in tuple(call.out):
            overtaken = winner is not None and attempt.started < winner.started
            self._end(attempt, LOST if overtaken else GIVEN_UP, now)

    def _end(self, attempt: _Attempt, outcome: ResponseClass, now: float) -> None:
        attempt.call.out.remove(attempt)
        self.balancer.end(attempt.node, attempt.started, now, outcome)
        if self._hedging is not None and attempt is attempt.call.first:
            learn = self._delay.answered if outcome is SUCCESS else self._delay.given_up
            learn(now - attempt.started, now)
