"""One concrete name: its endpoints, which of them gets a request, and the attempt itself.

A `Client` is shared by all names that bind to the same id, so that what one caller learns of an endpoint steers the
others. It follows the address cell of its id: endpoints that stay keep their state, a source that fails changes
nothing (the cell keeps the last good set).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf

import trio

from balancer.accrual import Health as NodeHealth
from balancer.balancer import Balancer
from balancer.node import Node
from balancer.params import AccrualParams, BalancerParams, RetryBudgetParams
from balancer.response_class import ResponseClass
from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending
from namer.cell import Cell
from namer.health import Health, health_of
from namer.path import Path
from nodeagent.http1.through import open_through
from nodeagent.http1.upstream import Http1Connection
from nodeagent.proxy.affinity import Affinity
from nodeagent.proxy.checks import CheckedEndpoints, CheckParams
from nodeagent.proxy.classify import Classify
from nodeagent.proxy.dial import Dialer
from nodeagent.proxy.errors import (
    BadRequest,
    ConnectFailed,
    ConnectionStale,
    ConnectTimeout,
    DeadlineExceeded,
    Denied,
    EndpointFull,
    Overloaded,
    ProxyError,
    ResponseIncomplete,
    TlsFailed,
    TrialTimeout,
)
from nodeagent.proxy.messages import Request, Response
from nodeagent.proxy.pool import Pool, PoolLimits
from nodeagent.proxy.proxyheader import Version, render
from nodeagent.proxy.pushback import TOO_MANY_REQUESTS, lesson, retry_after
from nodeagent.proxy.requeues import Requeues
from nodeagent.proxy.retry import is_repeatable
from nodeagent.proxy.room import pick_with_room, requests_waiting
from nodeagent.proxy.transports import Transports
from nodeagent.proxy.tunnel import Opened
from nodeagent.proxy.unbound import why_nowhere
from nodeagent.proxy.verdicts import Verdicts, of_error, of_status
from nodeagent.proxy.wire import Wire
from nodeagent.telemetry.exchange import GIVEN_UP, Attempt, Choice
from nodeagent.telemetry.registry import Family
from nodeagent.telemetry.stats import BalancerReading, ClientStats
from tls.params import ClientTls

_SUCCESS = ResponseClass.SUCCESS

_TELLS_NOTHING = BadRequest | Denied | Overloaded | ConnectionStale
"""Errors that tell nothing of how an endpoint serves."""

LOOK_AGAIN = 30.0
"""Seconds until connections are replaced that are plain because nobody listened where the agent should be."""

TRIAL = 5.0
"""Seconds that a trial may take to be answered, unless `requestAttemptTimeoutMs` gives another limit."""


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """How a concrete name is called; seconds."""

    connect_timeout: float = 3.0
    attempt_timeout: float | None = None
    max_retry_after: float = 60.0
    """The longest that an endpoint is left alone because it asks for it."""
    pool: PoolLimits = PoolLimits()
    tls: ClientTls | None = None
    tunnel_tls: ClientTls | None = None
    """TLS around what goes through a tunnel. What a caller of CONNECT says stays as it is: it is for the endpoint."""
    tunnel_through: bool = True
    """Whether agents are asked for tunnels by CONNECT; else they are for the one that the port there stands for."""
    proxy_header: Version | None = None
    """The PROXY header that each connection begins with, to say who calls; then none may serve two callers."""
    forward_client_cert: bool = False
    """Whether endpoints are told of the certificate of whoever calls."""
    balancer: BalancerParams = BalancerParams()
    accrual: AccrualParams = AccrualParams()
    requeues: RetryBudgetParams = RetryBudgetParams()
    """The budget for repeats of what was never sent."""
    check: CheckParams | None = None
    affinity: Affinity | None = None
    """What requests go by instead of the load; see `sticky`."""


class Client:
    """The endpoints behind one concrete id, balanced, with their connections."""

    def __init__(
        self,
        id: Path,  # noqa: A002
        addr: Cell[Addr],
        *,
        policy: ClientPolicy,
        balancer: Balancer,
        dialer: Dialer,
        family: Family[ClientStats, BalancerReading],
        router: str,
        checked: Callable[[ClientStats], CheckedEndpoints] | None = None,
    ) -> None:
        """`family` is where it counts, under `router`; `checked` makes its active health checks, if it has any."""
        self.id = id
        self.addr = addr
        self.policy = policy
        self.balancer = balancer
        self._family = family
        self.stats = family.acquire(router, id.show(), self._reading)
        self.checked = None if checked is None else checked(self.stats)
        self.health: Cell[Health] = Cell(Health.UNKNOWN)
        """Whether it can take traffic, by its addresses and by what its balancer learnt."""
        self.requeues = Requeues(policy.requeues, self.stats)
        self.users = 0
        """Bound names that use it."""
        self.idle_since = 0.0
        self._dialer = dialer
        self._now: Callable[[], float] = trio.lowlevel.current_clock().current_time
        self._seconds = policy.attempt_timeout
        self._through_agents = policy.tls is not None and policy.tls.agents is not None
        self._pick = balancer.pick if policy.pool.max_size == inf else functools.partial(pick_with_room, balancer)
        self._verdicts = Verdicts(router, id.show())
        self._transports = Transports(router, id.show(), self.stats)
        balancer.on_health = self._verdicts.heard
        balancer.on_usable = self._turned
        addr.subscribe(self._follow)
        self._follow()

    # The attempt: balance, dial, send, and what was learnt of it.

    def send(self, request: Request, classify: Classify) -> Awaitable[Response]:
        """Send `request` to one endpoint and return the head of its response, classified.

        An endpoint that fails is added to `request.avoid`. Cancelling closes the connection; whether the endpoint is to
        blame then is up to the balancer (patience.py). Raises ProxyError.
        """
        if self._seconds is None:
            return self._attempt(request, classify)
        return self._attempt_in_time(request, classify, self._seconds)

    async def _attempt(self, request: Request, classify: Classify, key: bytes | None = None) -> Response:
        balancer, stats = self.balancer, self.stats
        started = self._now()
        avoid = request.avoid
        node = self._pick(started, avoid) if key is None else balancer.pick_for(key, started, avoid)
        if node is None:
            raise why_nowhere(self.id, self.addr, balancer.nodes)
        request.node = node
        choice = self._choice(node, started)
        connected: float | None = started
        timed = isinstance(request.body, bytes)  # how long a body streams is up to the caller
        balancer.begin(node, started, timed)
        stats.pending += 1
        pool: Pool = node.pool  # type: ignore[assignment]
        connection: Http1Connection | None = None
        queued = False
        try:
            fresh = request.fresh or (pool.erratic and not is_repeatable(request))
            connection = None if fresh else pool.take(started)
            if connection is None:
                queued = not pool.has_room
                connected = None
                connection = await pool.acquire(functools.partial(self._dial, node, request), started, fresh=fresh)
                connected = self._now()
            response = await connection.exchange(request)
        except BaseException as error:
            transport = None if connection is None else connection.wire.transport
            request.attempts += (Attempt(*choice, connected, self._now(), 0, None, _show(error), transport=transport),)
            self._failed(request, node, connection, started, error, queued)
            raise
        ended = self._now()
        stats.statuses[response.status // 100] += 1
        verdict = response.verdict = classify(request.head.method, response)
        outcome = connected, ended, response.status, verdict, None, False, 0, connection.wire.transport
        request.attempts += (tuple.__new__(Attempt, choice + outcome),)
        if verdict is not _SUCCESS:
            request.avoid += (node,)
        learnt = verdict if response.status < TOO_MANY_REQUESTS else lesson(response, verdict)
        if learnt is not _SUCCESS:
            self._verdicts.why = of_status(response.status)
        if isinstance(response.body, bytes):
            pool.release(connection, ended)
            balancer.end(node, started, ended, learnt, timed)
            stats.pending -= 1
            self._count(ended - started, verdict is _SUCCESS, ended)
        else:
            connection.on_end = functools.partial(self._stream_ended, node, connection, ended - started, verdict)
            balancer.answered(node, started, ended, learnt, timed)
        if learnt is not _SUCCESS:
            self._leave_alone(node, response, ended)
        return response

    def _choice(self, node: Node, now: float) -> Choice:
        """Why a node was picked just now, for whoever tells of the attempt."""
        balancer = self.balancer
        return self.id, node.endpoint, node.accrual.health, node.pending, len(balancer.nodes), balancer.drawn, now

    async def trial(self, request: Request, classify: Classify) -> Response:
        """As `send`, for the request that finds out whether the endpoints have recovered.

        One that can be repeated waits for no longer than a trial may take, and raises TrialTimeout.
        """
        if not is_repeatable(request):
            return await self.send(request, classify)
        seconds = self.policy.attempt_timeout or TRIAL
        with trio.move_on_after(seconds):
            return await self._attempt(request, classify)
        raise TrialTimeout(f"dial {self.id.show()}: no response to a trial within {seconds * 1000:g} ms")

    async def _attempt_in_time(self, request: Request, classify: Classify, seconds: float) -> Response:
        """As `_attempt`, within `requestAttemptTimeoutMs`; raises DeadlineExceeded beyond."""
        with trio.move_on_after(seconds) as scope:
            return await self._attempt(request, classify)
        if not scope.cancelled_caught:
            raise AssertionError("the attempt neither returned nor raised")
        raise DeadlineExceeded(f"dial {self.id.show()}: no response within {seconds * 1000:g} ms")

    def _failed(
        self,
        request: Request,
        node: Node,
        connection: Http1Connection | None,
        started: float,
        error: BaseException,
        queued: bool = False,
    ) -> None:
        ended = self._now()
        if connection is not None:
            connection.reusable = False
            node.pool.release(connection, ended)  # type: ignore[attr-defined]
        asked = connection is not None or not queued  # else nobody blames the endpoint for the time
        timed_out = asked and isinstance(error, trio.Cancelled) and self._overdue(node, started, ended)
        self.stats.pending -= 1
        request.fresh = isinstance(error, ResponseIncomplete)
        if isinstance(error, EndpointFull):
            error.message = f"balance {self.id.show()}: {node.endpoint.show()}: {error.message}"
            self.stats.rejected[error.reason] += 1
            request.avoid += (node,)
        learnt = timed_out or (isinstance(error, ProxyError) and not isinstance(error, _TELLS_NOTHING))
        if learnt:
            request.avoid += (node,)
            self.stats.statuses[0] += 1
            self._count(ended - started, False, ended)
        if isinstance(error, ConnectFailed | ConnectTimeout | TlsFailed):
            self.stats.connect_failures[error.type] += 1
        # Last, because it may take this concrete name out of use, and others in.
        timed = isinstance(request.body, bytes)
        outcome = ResponseClass.IGNORABLE
        if learnt:
            outcome = _outcome(error)
        elif timed and not queued and isinstance(error, trio.Cancelled):
            outcome = ResponseClass.LOST if request.lost else ResponseClass.GIVEN_UP
        self._verdicts.why = of_error(error, outcome)
        self.balancer.end(node, started, ended, outcome, timed)

    def _overdue(self, node: Node, started: float, now: float) -> bool:
        limit = self.policy.attempt_timeout or (TRIAL if node.accrual.health is NodeHealth.PROBING else inf)
        return now - started >= limit

    def _leave_alone(self, node: Node, response: Response, now: float) -> None:
        """Heed a backend that asks for no requests for a while."""
        seconds = min(retry_after(response, time.time_ns()), self.policy.max_retry_after)
        if seconds > 0:
            self.balancer.leave_alone(node, seconds, now)

    def _stream_ended(
        self, node: Node, connection: Http1Connection, to_head: float, verdict: ResponseClass, whole: bool
    ) -> None:
        """A streamed response is over. Its latency is that of its head: how long the body takes is up to its reader."""
        now = self._now()
        node.pool.release(connection, now)  # type: ignore[attr-defined]
        self.balancer.release(node, now)
        self.stats.pending -= 1
        self._count(to_head, verdict is _SUCCESS and whole, now)

    def _count(self, seconds: float, success: bool, now: float) -> None:
        stats = self.stats
        stats.duration.observe(seconds)
        if success:
            stats.success += 1
            self.requeues.deposit(now)
        else:
            stats.failure += 1

    def may_requeue(self, request: Request, *, always: bool) -> bool:
        """Tell whether a request that was never sent is sent once more here; as `Requeues.allow`."""
        return self.requeues.allow(request, self.balancer.nodes, self._now(), always=always)

    def _preface(self, node: Node, request: Request) -> bytes:
        version = self.policy.proxy_header
        return b"" if version is None else render(version, request.peer, node.endpoint)

    async def _dial(self, node: Node, request: Request) -> Http1Connection:
        policy, preface = self.policy, self._preface(node, request)
        connection = await self._dialer.http1(node.endpoint, policy.connect_timeout, policy.tls, preface)
        self._opened_one(node, connection.wire)
        return connection

    def _opened_one(self, node: Node, wire: Wire) -> None:
        self.stats.connections += 1
        self.stats.connects += 1
        transport = wire.transport
        if transport is None:
            return
        self._transports.heard(node, transport)
        if transport.why is not None and node.endpoint.agent is not None:
            node.pool.renew_at = self._now() + LOOK_AGAIN  # type: ignore[attr-defined]

    def _closed_one(self) -> None:
        self.stats.connections -= 1

    async def connect(self, request: Request, key: bytes | None = None) -> Opened:
        """Open a connection of its own to one endpoint, for a tunnel; avoid as in an attempt.

        Returns it with what must be called once when the tunnel is over. Raises ProxyError; cancelling is safe.
        """
        balancer, avoid = self.balancer, request.avoid
        started = self._now()
        node = balancer.pick(started, avoid) if key is None else balancer.pick_for(key, started, avoid)
        if node is None:
            raise why_nowhere(self.id, self.addr, balancer.nodes)
        choice = self._choice(node, started)
        self.balancer.begin(node, started)
        self.stats.pending += 1
        try:
            policy, preface = self.policy, self._preface(node, request)
            wire = await self._dialer.wire(node.endpoint, policy.connect_timeout, policy.tunnel_tls, preface)
            if policy.tunnel_through and wire.transport is not None and wire.transport.why is None:
                await open_through(wire, request, f"dial {wire.transport.address}")
        except BaseException as error:
            request.attempts += (Attempt(*choice, None, self._now(), 0, None, _show(error)),)
            self._failed(request, node, None, started, error)
            raise
        opened = self._now()
        request.attempts += (Attempt(*choice, opened, opened, 0, _SUCCESS, None, transport=wire.transport),)
        took = opened - started
        self._opened_one(node, wire)
        self.balancer.answered(node, started, opened, _SUCCESS)

        def over(whole: bool) -> None:
            now = self._now()
            self._closed_one()
            self.stats.pending -= 1
            self.balancer.release(node, now)
            self._count(took, whole, now)

        return wire, over

    # The rest keeps it in step with discovery and with time.

    @property
    def pending(self) -> bool:
        """True while discovery has never said anything about the addresses."""
        return isinstance(self.addr.value, AddrPending)

    async def wait_ready(self) -> None:
        """Wait for the first word about the addresses. Cancelling is safe."""
        while self.pending:
            await self.addr.wait_changed(self.addr.version)

    def expire(self, now: float) -> None:
        """Close connections that were idle too long."""
        for node in self.balancer.nodes:
            node.pool.expire(now)  # type: ignore[attr-defined]

    def close(self) -> None:
        """Stop following discovery and close idle connections; requests under way end by themselves."""
        self.addr.unsubscribe(self._follow)
        self.balancer.on_usable = None  # or the two would hold each other
        for node in self.balancer.update((), self._now()):
            node.pool.close()  # type: ignore[attr-defined]
        if self.checked is not None:
            self.checked.follow()
        self._family.release(self.stats, self._reading)

    def _reading(self) -> BalancerReading:
        return BalancerReading(
            self.balancer.statistics(),
            policy=self.policy.accrual.kind,
            when_all_dead=self.policy.balancer.all_dead,
            requeue_budget=self.requeues.balance(self._now()),
            waiting=requests_waiting(self.balancer.nodes),
        )

    @property
    def connections(self) -> int:
        """Open connections to all endpoints."""
        return sum(node.pool.size for node in self.balancer.nodes)  # type: ignore[attr-defined]

    def _follow(self) -> None:
        agents = {node: node.endpoint.agent for node in self.balancer.nodes} if self._through_agents else {}
        match self.addr.value:
            case AddrBound(endpoints):
                removed = self.balancer.update(endpoints, self._now())
            case AddrNeg() | AddrFailed():  # a failure takes the place of endpoints when they are too old to be used
                removed = self.balancer.update((), self._now())
            case AddrPending():
                return
        for node in removed:
            node.pool.close()  # type: ignore[attr-defined]
        for node in self.balancer.nodes:
            if node.pool is None:
                node.pool = Pool(self.policy.pool, self._closed_one)
            elif self._through_agents and agents.get(node) != node.endpoint.agent:
                node.pool.renew(self._now())  # type: ignore[attr-defined]
        if self.checked is not None:
            self.checked.follow()
        self._assess()

    def _turned(self) -> None:
        if self.balancer.nodes and not self.balancer.usable:
            self._verdicts.all_out(self.policy.balancer.all_dead)
        self._assess()

    def _assess(self) -> None:
        """Say whether there is a usable endpoint, to those who have alternatives."""
        known = health_of(self.addr.value)
        self.health.set(known if self.balancer.usable or known is not Health.USABLE else Health.UNUSABLE, self._now())

    def __repr__(self) -> str:
        return f"<Client {self.id.show()} {len(self.balancer.nodes)} endpoints, {self.connections} connections>"


def _show(error: BaseException) -> str:
    return error.message if isinstance(error, ProxyError) else GIVEN_UP


def _outcome(error: BaseException) -> ResponseClass:
    return ResponseClass.REFUSED if isinstance(error, ConnectFailed | ConnectTimeout) else ResponseClass.FAILURE
