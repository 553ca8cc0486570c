"""How many requests of a logical name are under way, who waits, and who is refused. An edge: waiting.

An `Admission` belongs to a name, and not to one binding of it: callers with dtabs of their own, and the service that
takes the place of another, share it. Requests come in by `enter`, in the order in which they came, and each goes by
`leave` exactly once. It is part of a service only where `concurrency` is configured.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from balancer.limiter import AdmissionParams, make_limit
from balancer.response_class import ResponseClass
from namer.path import Path
from nodeagent.proxy.errors import DeadlineExceeded, Overloaded
from nodeagent.proxy.messages import Request, Response
from nodeagent.proxy.service import Service
from nodeagent.proxy.tunnel import Opened
from nodeagent.telemetry.stats import Concurrency, ServiceStats


class Admission:
    """The requests of one logical name that are under way."""

    __slots__ = ("__weakref__", "_name", "_now", "_params", "in_flight", "limit", "waiters")

    def __init__(self, name: Path, params: AdmissionParams) -> None:
        self._name = name
        self._params = params
        self.limit = make_limit(params.limit)
        self.in_flight = 0
        self.waiters: deque[trio.Event] = deque()
        """Set when a place is theirs; the first has waited longest."""
        self._now: Callable[[], float] = trio.lowlevel.current_clock().current_time

    async def enter(self, stats: ServiceStats) -> float:
        """Count a request in, waiting for its turn if need be; return the time. After that `leave` must follow.

        Raises Overloaded, counted in `stats`. Cancelling gives the turn up. Never a checkpoint when there is room.
        """
        if self.in_flight < self.limit.value and not self.waiters:
            self.in_flight += 1
        elif len(self.waiters) < self._params.max_waiters:
            await self._wait(stats)
        else:
            stats.rejected["queue_full"] += 1
            waiting = len(self.waiters)
            queue = "" if not waiting else " and 1 waits" if waiting == 1 else f" and {waiting} wait"
            raise Overloaded(f"{self._under_way()}{queue}, as many as concurrency allows")
        return self._now()

    async def _wait(self, stats: ServiceStats) -> None:
        turn = trio.Event()
        self.waiters.append(turn)
        try:
            with trio.move_on_after(self._params.max_wait):
                await turn.wait()
        except BaseException:
            if turn.is_set():  # its turn came between the cancellation and its delivery
                self.leave()
            else:
                self.waiters.remove(turn)
            raise
        if not turn.is_set():
            self.waiters.remove(turn)
            stats.rejected["queue_timeout"] += 1
            milliseconds = self._params.max_wait * 1000
            raise Overloaded(f"{self._under_way()}, as many as concurrency allows; it waited {milliseconds:g} ms")

    def learn(self, entered: float) -> None:
        """Learn from a request that entered then and is answered now, or was given up because it took too long."""
        now = self._now()
        self.limit.sample(now - entered, self.in_flight, now)
        self._let_in()

    def leave(self) -> None:
        """Count a request out, and let in who waits."""
        self.in_flight -= 1
        self._let_in()

    def reading(self) -> Concurrency:
        """Return how it stands."""
        return Concurrency(self.limit.value, self.in_flight, len(self.waiters))

    def _let_in(self) -> None:
        while self.waiters and self.in_flight < self.limit.value:
            self.in_flight += 1  # at once, on behalf of the one that is woken: nobody comes in between
            self.waiters.popleft().set()

    def _under_way(self) -> str:
        requests = "1 request is" if self.in_flight == 1 else f"{self.in_flight} requests are"
        return f"balance {self._name.show()}: {requests} under way"

    def __repr__(self) -> str:
        return f"<Admission {self._name.show()} {self.in_flight} of {self.limit.value}, {len(self.waiters)} waiting>"


class LimitedService(Service):
    """A service that lets in as many requests as its name's admission allows."""

    admission: Admission

    async def _attempts(self, request: Request) -> Response:
        admission = self.admission
        entered = await admission.enter(self.stats)
        try:
            response = await super()._attempts(request)
        except BaseException as error:
            self._given_up(request, entered, error)
            raise
        if response.verdict is ResponseClass.SUCCESS:
            admission.learn(entered)
        if isinstance(response.body, bytes):
            admission.leave()
        else:
            response.body.then(admission.leave)
        return response

    async def _connect_after(self, attempt: int, request: Request) -> Opened:
        if attempt:  # it goes on here from the service that this one follows, which has let it in
            return await super()._connect_after(attempt, request)
        admission = self.admission
        entered = await admission.enter(self.stats)
        try:
            wire, over = await super()._connect_after(attempt, request)
        except BaseException as error:
            self._given_up(request, entered, error)
            raise
        admission.learn(entered)

        def ended(whole: bool) -> None:
            admission.leave()
            over(whole)

        return wire, ended

    def _given_up(self, request: Request, entered: float, error: BaseException) -> None:
        """A request ends without an answer. Only one that took too long tells something of latency."""
        overdue = isinstance(error, trio.Cancelled) and self.now() >= request.deadline
        if overdue or isinstance(error, DeadlineExceeded):
            self.admission.learn(entered)
        self.admission.leave()
