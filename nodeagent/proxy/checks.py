"""Active health checks of endpoints: the one owner of the tasks that make them. An edge.

Each checked endpoint is a task that sleeps, asks on a connection of its own, and tells the balancer when the verdict
turns. Checks are no traffic: they stand in no count of requests and take no connection of a pool.
"""

from __future__ import annotations

import contextlib
import functools
import math
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import structlog
import trio

from balancer.balancer import Balancer
from balancer.checks import CheckSchedule, RiseAndFall
from balancer.node import Node
from namer.addr import Endpoint
from nodeagent.proxy.dial import Dialer
from nodeagent.proxy.errors import Overloaded, ProxyError, ResponseIncomplete, ResponseInvalid
from nodeagent.proxy.proxyheader import Version, render_local
from nodeagent.proxy.wire import CLOSED, Wire
from nodeagent.telemetry.stats import ClientStats
from tls.params import ClientTls

AT_ONCE: Final = 256
"""Checks under way at once in one agent; the others wait for their turn, which does not count as their time."""

MAX_STATUS_LINE: Final = 1024
"""Bytes within which the first line of an answer must end."""

LINGER: Final = 0.1
"""Seconds for the rest of an answer; a connection that is closed in the middle of it is reset, which servers log."""

MAX_REST: Final = 64 * 1024
"""Bytes of the rest that are read for that."""

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [\t -~\x80-\xff]*)?\r\n")

log = structlog.get_logger("nodeagent.checks")


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """What is asked, and which statuses, first and last, are good. Without `host` it is the address that is asked."""

    path: str = "/"
    method: str = "GET"
    host: str | None = None
    good: tuple[int, int] = (200, 399)

    def request(self, endpoint: Endpoint) -> bytes:
        """The request that asks `endpoint`."""
        host = self.host or ("localhost" if endpoint.is_unix else endpoint.show())
        fields = f"Host: {host}\r\nUser-Agent: nodeagent-check\r\nConnection: close\r\n"
        return f"{self.method} {self.path} HTTP/1.1\r\n{fields}\r\n".encode("ascii")


@dataclass(frozen=True, slots=True)
class CheckParams:
    """How the endpoints of a concrete name are checked; seconds."""

    schedule: CheckSchedule = CheckSchedule()
    timeout: float = 2.0
    port: int | None = None
    """Instead of the endpoint's own."""
    http: HttpCheck | None = None
    """None when it is enough that it takes a connection."""
    proxy_header: Version | None = None
    """Said first where requests say it; not to a port of its own, where somebody else may listen."""


class Checks:
    """Owns the tasks. Start `run` once; endpoints may be followed before."""

    def __init__(self, rng: random.Random, *, at_once: int = AT_ONCE) -> None:
        """`rng` spreads the checks over time."""
        self.rng = rng
        self.turns = trio.CapacityLimiter(at_once)
        """To be held by each check while it is under way."""
        self._starts, self._to_start = trio.open_memory_channel[Callable[[], Awaitable[None]]](math.inf)

    async def run(self) -> None:
        """Check what is followed. Returns only by being cancelled, which ends all checks and keeps all verdicts."""
        async with trio.open_nursery() as nursery:
            async for task in self._to_start:
                nursery.start_soon(task)
                del task  # or what it checks would live until the next one is started

    def start(self, check: Callable[[], Awaitable[None]]) -> trio.CancelScope:
        """Have `check` run until what is returned is cancelled."""
        scope = trio.CancelScope()

        async def task() -> None:
            with scope:
                await check()

        self._starts.send_nowait(task)
        return scope


class CheckedEndpoints:
    """The endpoints of one client, under their checks."""

    def __init__(
        self,
        checks: Checks,
        schedule: CheckSchedule,
        checker: Checker,
        balancer: Balancer,
        about: Mapping[str, str],
        stats: ClientStats,
    ) -> None:
        """`about` says in the log whose endpoints they are."""
        self._checks = checks
        self._schedule = schedule
        self._checker = checker
        self._balancer = balancer
        self._stats = stats
        self._log = log.bind(**about)
        self._tasks: dict[Node, trio.CancelScope] = {}
        self._failing: dict[Node, str] = {}

    def follow(self) -> None:
        """Check the endpoints that the balancer has now, and no others."""
        nodes = self._balancer.nodes
        for node in self._tasks.keys() - set(nodes):
            self._tasks.pop(node).cancel()
            self._failing.pop(node, None)
        for node in nodes:
            if node not in self._tasks:
                self._tasks[node] = self._checks.start(functools.partial(self._keep_checking, node))

    def __len__(self) -> int:
        return len(self._tasks)

    def failing(self) -> Mapping[str, str]:
        """The endpoints whose last check failed, and why, whether or not that was often enough to put them out."""
        return {node.endpoint.show(): problem for node, problem in self._failing.items()}

    async def _keep_checking(self, node: Node) -> None:
        schedule, rng = self._schedule, self._checks.rng
        verdict = RiseAndFall(schedule.rise, schedule.fall)
        due = trio.current_time() + schedule.first_delay(rng)
        while True:
            await trio.sleep_until(due)
            try:
                async with self._checks.turns:
                    problem = await self._checker.problem(node.endpoint)
                self._heard(node, verdict, problem)
            except Overloaded as error:  # this host has no room for another connection
                self._log.warning(
                    "a health check could not be made", endpoint=node.endpoint.show(), error=error.message
                )
            except Exception:  # it tells nothing of the endpoint, and must not end the agent
                self._log.exception("a health check broke, that is a bug", endpoint=node.endpoint.show())
            due = max(trio.current_time(), due + schedule.next_delay(rng))

    def _heard(self, node: Node, verdict: RiseAndFall, problem: str | None) -> None:
        if node not in self._tasks:  # it has left while it was asked
            return
        self._stats.checks["passed" if problem is None else "failed"] += 1
        if problem is None:
            self._failing.pop(node, None)
        else:
            self._failing[node] = problem
        if verdict.heard(problem is None):
            endpoint = node.endpoint.show()
            if verdict.up:
                self._log.info("an endpoint passes its health check again", endpoint=endpoint)
            else:
                self._log.warning("an endpoint is out, its health check fails", endpoint=endpoint, error=problem)
            node.trouble = problem
            # Last, because it may take this concrete name out of use, and others in.
            self._balancer.checked(node, verdict.up, trio.current_time())


class Checker:
    """Makes one check."""

    def __init__(self, params: CheckParams, dialer: Dialer, tls: ClientTls | None = None) -> None:
        self._params = params
        self._http = params.http
        self._good = (0, 0) if params.http is None else params.http.good
        said = params.proxy_header if params.port is None else None
        self._preface = b"" if said is None else render_local(said)
        self._dialer = dialer
        self._tls = tls if params.http is not None or (tls is not None and tls.agents is not None) else None

    async def problem(self, endpoint: Endpoint) -> str | None:
        """Ask `endpoint`, and return in one line why it fails, None when it passes. Never raises for what it does.

        Raises Overloaded when this host has no room for a connection.
        The verdict is there within the timeout; an answer that goes on is read for LINGER seconds more. Cancelling
        closes the connection.
        """
        if self._params.port is not None and not endpoint.is_unix:
            endpoint = replace(endpoint, port=self._params.port)
        where = f"check {endpoint.show()}"
        try:
            status = await self._ask(endpoint, where)
        except trio.TooSlowError:
            return f"{where}: no answer within {self._params.timeout * 1000:g} ms"
        except Overloaded:
            raise
        except ProxyError as error:
            return error.message
        except CLOSED as error:
            return f"{where}: the connection broke ({error})"
        low, high = self._good
        return None if low <= status <= high else f"{where}: answered {status}"

    async def _ask(self, endpoint: Endpoint, where: str) -> int:
        """Return the status of the answer; of a check that only connects, one that is good."""
        wire: Wire | None = None
        try:
            with trio.fail_after(self._params.timeout):
                wire = await self._dialer.wire(endpoint, math.inf, self._tls, self._preface)
                if self._http is None:
                    return self._good[0]
                await wire.send(self._http.request(endpoint))
                status = await _read_status(wire, where)
            await _read_rest(wire)
            return status
        finally:
            if wire is not None:
                wire.close()


async def _read_status(wire: Wire, where: str) -> int:
    """Read the first line of an answer; what follows it in the same piece is dropped. Raises ProxyError."""
    answer = b""
    while b"\n" not in answer[:MAX_STATUS_LINE]:
        if len(answer) >= MAX_STATUS_LINE:
            raise ResponseInvalid(f"{where}: the first line of the answer is over {MAX_STATUS_LINE} bytes long")
        data = await wire.receive()
        if not data:
            raise ResponseIncomplete(f"{where}: the connection was closed before an answer")
        answer += data
    found = _STATUS_LINE.match(answer)
    if found is None:
        raise ResponseInvalid(f"{where}: the answer is no HTTP/1.1")
    return int(found[1])


async def _read_rest(wire: Wire) -> None:
    """Let the endpoint end its answer, if that is soon."""
    room = MAX_REST
    with trio.move_on_after(LINGER), contextlib.suppress(*CLOSED):
        while room > 0 and (data := await wire.receive()):
            room -= len(data)
