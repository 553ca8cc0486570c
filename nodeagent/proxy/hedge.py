"""Hedged attempts: one that takes long gets a copy at another endpoint, and the first good answer wins.

    FIRST OUT --answered or failed--> over, as without hedging
        '--out for the learnt delay, another endpoint is alive, the budget pays--> BOTH OUT
    BOTH OUT --the first is answered----------------> its answer; the copy is cancelled
             --the copy is answered with success----> that answer; the first is cancelled
             --the first fails, or may be retried---> COPY OUT
             --the copy ends otherwise--------------> FIRST OUT
    COPY OUT --answered with success----------------> that answer
             --ends otherwise-----------------------> what became of the first, as without hedging

So a copy never makes an answer worse. The loser's connection is closed. Of a copy nothing is learnt then, as of any
cancelled attempt; a first attempt that its copy overtook counts against its endpoint (``ResponseClass.LOST``).

It stands around the attempt of one concrete name, below retries and rehosting, and is composed where the policy asks
for it. When to send a copy is decided in balancer/hedge.py.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable
from math import inf

import trio

from balancer.accrual import Health
from balancer.budget import RetryBudget
from balancer.hedge import HedgeDelay, HedgeParams, make_hedge_budget
from balancer.response_class import ResponseClass
from namer.path import Path
from nodeagent.proxy.alarms import Alarms
from nodeagent.proxy.balance import Client
from nodeagent.proxy.classify import Classify
from nodeagent.proxy.errors import ProxyError
from nodeagent.proxy.messages import Request, RequestHead, Response
from nodeagent.proxy.rehost import Send
from nodeagent.telemetry.stats import ServiceStats

HEDGEABLE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""Methods of which a second copy does no harm: the safe ones (RFC 9110, 9.2.1) that are for applications."""

_ALIVE = Health.ALIVE
_SUCCESS, _RETRYABLE = ResponseClass.SUCCESS, ResponseClass.RETRYABLE


class Hedges:
    """The hedging of one logical name: its budget, and what was learnt of each concrete name."""

    def __init__(self, params: HedgeParams, alarms: Alarms, ids: Iterable[Path], before: Hedges | None) -> None:
        """`ids` are the concrete names; `before` is whose budget and knowledge go on, if `params` are the same."""
        kept = before if before is not None and before.params == params else None
        known = {} if kept is None else kept.delays
        self.params: HedgeParams = params
        self.alarms: Alarms = alarms
        self.budget: RetryBudget = make_hedge_budget(params) if kept is None else kept.budget
        self.delays: dict[Path, HedgeDelay] = {each: known.get(each) or HedgeDelay(params) for each in ids}

    def around(self, client: Client, send: Send, stats: ServiceStats) -> Send:
        """The attempts of `client`, which `send` makes, hedged."""
        return Hedged(client, send, self, stats).send


class Hedged:
    """Attempts at one concrete name."""

    def __init__(self, client: Client, send: Send, hedges: Hedges, stats: ServiceStats) -> None:
        self._client = client
        self._send = send
        self._delay = hedges.delays[client.id]
        self._budget = hedges.budget
        self._alarms = hedges.alarms
        self._stats = stats
        self._now: Callable[[], float] = trio.lowlevel.current_clock().current_time

    def send(self, request: Request, classify: Classify) -> Awaitable[Response]:
        """As what it was made of; cancelling ends both attempts."""
        head = request.head
        hedgeable = head.method in HEDGEABLE and request.body == b"" and b"upgrade" not in head.special
        if hedgeable and len(self._client.balancer.nodes) > 1:
            return self._hedgeable(request, classify)
        return self._send(request, classify)

    def _hedgeable(self, request: Request, classify: Classify) -> Awaitable[Response]:
        now = self._now()
        if not request.tried:
            self._budget.deposit(now)
        after = self._delay.delay(now)
        if after == inf:
            return self._first(request, classify, now)
        self._stats.hedge_delay = after
        return self._race(request, classify, now, after)

    async def _race(self, request: Request, classify: Classify, started: float, after: float) -> Response:
        race = _Race(request)
        alarm = self._alarms.at(started + after, functools.partial(self._copy, race, classify))
        response: Response | None = None
        try:
            try:
                with race.scope:
                    race.answered(await self._first(request, classify, started))
            except ProxyError as error:
                race.error = error
            if race.winner is None and race.copy_ended is not None:
                await race.copy_ended.wait()
            response = race.result()
            return response
        finally:
            alarm.call_off()
            race.end(response)

    async def _first(self, request: Request, classify: Classify, started: float) -> Response:
        """Make the first attempt, and learn how long such ones take; not from retries, which avoid endpoints."""
        learn = self._delay.given_up
        try:
            response = await self._send(request, classify)
            if response.verdict is _SUCCESS:
                learn = self._delay.answered
            return response
        finally:
            if not request.tried:
                now = self._now()
                learn(now - started, now)

    async def _copy(self, race: _Race, classify: Classify) -> None:
        """Send the copy, if there is still a reason."""
        if race.spoken or not self._has_other(race.request) or not self._withdraw():
            return
        result = "lost"
        copy, scope, ended = race.begin_copy()
        try:
            with scope:
                response = await self._send(copy, classify)
                if response.verdict is not _SUCCESS:
                    result = "failed"
                    response.close()
                    race.request.avoid += () if copy.node is None else (copy.node,)
                elif race.copy_answered(response):
                    result = "won"
        except ProxyError:
            result = "failed"
            if copy.node is not None:
                race.request.avoid += (copy.node,)
        finally:
            self._stats.hedges[result] += 1
            race.request.attempts += tuple(attempt._replace(copy=True) for attempt in copy.attempts)
            ended.set()

    def _has_other(self, request: Request) -> bool:
        """Tell whether another endpoint is alive that is no worse by priority: those are for failure, not for haste."""
        node = request.node
        return node is not None and any(
            other is not node
            and other not in request.avoid
            and other.accrual.health is _ALIVE
            and other.endpoint.priority <= node.endpoint.priority
            for other in self._client.balancer.nodes
        )

    def _withdraw(self) -> bool:
        if self._budget.try_withdraw(self._now()):
            return True
        self._stats.hedge_budget_exhausted += 1
        return False


class _Race:
    """One attempt and maybe its copy. Whatever arrives is handed to the caller or closed."""

    __slots__ = (
        "_fields", "_interim", "_over", "copy_ended", "copy_scope", "error", "fallback", "request", "scope", "spoken",
        "winner",
    )  # fmt: skip

    def __init__(self, request: Request) -> None:
        self.request = request
        self.scope = trio.CancelScope()
        """Around the first attempt."""
        self.copy_scope: trio.CancelScope | None = None
        self.copy_ended: trio.Event | None = None
        """There once the copy was sent."""
        self.spoken = False
        """Whether the caller has seen a 1xx of the first attempt: the rest must be of the same endpoint."""
        self.winner: Response | None = None
        self.fallback: Response | None = None
        """The answer to the first attempt, when the copy's may be better."""
        self.error: ProxyError | None = None
        """How the first attempt failed."""
        self._over = False
        self._fields = request.fields  # as they are before the first attempt has put its own trace there
        self._interim = request.interim
        if self._interim is not None:
            request.interim = self._pass_on

    def answered(self, response: Response) -> None:
        """Take the answer to the first attempt."""
        if self.winner is not None or (self.copy_ended is not None and response.verdict is _RETRYABLE):
            self.fallback = response
        else:
            self.winner = response

    def begin_copy(self) -> tuple[Request, trio.CancelScope, trio.Event]:
        """Return the request for another endpoint, the scope to send it in, and what to set when it has ended."""
        request, head = self.request, self.request.head
        # A head of its own: rehosting changes the other one, and need not wait for a copy that was cancelled.
        own = RequestHead(head.method, head.authority, head.path, head.version, head.fields, head.special)
        copy = Request(own, request.body, request.received_at, request.peer, request.client)
        copy.dtab, copy.deadline, copy.fields, copy.tried, copy.trace = (
            request.dtab,
            request.deadline,
            self._fields,
            request.tried,
            request.trace,
        )
        copy.avoid = request.avoid if request.node is None else (*request.avoid, request.node)
        self.copy_scope, self.copy_ended = trio.CancelScope(), trio.Event()
        return copy, self.copy_scope, self.copy_ended

    def copy_answered(self, response: Response) -> bool:
        """Take a good answer to the copy; tell whether it wins."""
        if self._over or self.winner is not None:
            response.close()
            return False
        self.winner = response
        self.request.lost = True
        self.scope.cancel()
        return True

    def result(self) -> Response:
        """Return the one answer, or raise what became of the first attempt."""
        response = self.winner or self.fallback
        if response is None:
            assert self.error is not None, "the first attempt neither returned nor raised"
            raise self.error
        return response

    def end(self, taken: Response | None) -> None:
        """Nothing but the answer that was taken is wanted any more."""
        self._over = True
        self.request.lost = False
        self.request.interim = self._interim
        if self.copy_scope is not None:
            self.copy_scope.cancel()
        for response in (self.winner, self.fallback):
            if response is not None and response is not taken:
                response.close()

    async def _pass_on(self, status: int, fields: bytes) -> None:
        """Pass a 1xx of the first attempt on, unless it is open whose answer the caller gets."""
        if self._interim is not None and self.copy_ended is None:
            self.spoken = True
            await self._interim(status, fields)
