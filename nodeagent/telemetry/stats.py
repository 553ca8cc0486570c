"""What is counted, as plain integers that the proxy increments directly.

An object here is looked up once, when a listener starts or a name is bound, and then held: on the hot path
counting is `stats.success += 1`. Everything belongs to the thread of the event loop; nothing locks.
Who gets which object, and for how long, is decided in `registry`; how it is shown, in `prometheus` and
`linkerd_metrics`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from balancer.statistics import BalancerStatistics
from namer.addr import is_socket_path, show_address
from nodeagent.telemetry.histogram import SMALL_COUNT, Histogram, Snapshot

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class BalancerReading:
    """A client's balancer, and what around it is counted, at one moment."""

    balancer: BalancerStatistics
    policy: str
    """The failure accrual policy that ejects, by its configuration name: `consecutiveFailures`, `none`..."""
    when_all_dead: str = "tryAll"
    """What happens when none is alive, by its configuration name."""
    requeue_budget: int = 0
    """Repeats of what was never sent that could be paid for."""
    waiting: int = 0
    """Requests that wait for a connection, because an endpoint's pool is full."""


@dataclass(frozen=True, slots=True)
class Concurrency:
    """The requests of a logical name: how many may be under way, how many are, how many wait."""

    limit: int
    under_way: int
    waiting: int


class ServerStats:
    """One listener.

    `statuses[n]` counts responses of class n (2 for 2XX); index 0 counts requests that ended with no
    response. It has ten places so that any three-digit status has one.
    """

    __slots__ = (
        "connections",
        "connections_denied",
        "connections_evicted",
        "connections_limit",
        "connections_refused",
        "connects",
        "failure",
        "ip",
        "pending",
        "port",
        "proxy_header_errors",
        "router",
        "statuses",
        "success",
        "tls_failures",
        "tls_handshakes",
        "tls_handshaking",
    )

    def __init__(self, router: str, ip: str, port: int) -> None:
        self.router = router
        self.ip = ip
        self.port = port
        self.statuses = [0] * 10
        self.success = 0
        self.failure = 0
        self.pending = 0
        self.connections = 0
        self.connections_limit = 0.0
        """Above which callers who have more than their part get no more; infinity where there is none."""
        self.connections_refused = 0
        """Closed as they were accepted, because of that."""
        self.connections_denied = 0
        """Closed because of who has opened them."""
        self.connections_evicted = 0
        """Closed while they idled, to make room for others."""
        self.connects = 0
        self.proxy_header_errors = 0
        """Connections closed because they did not begin with a PROXY header."""
        self.tls_handshaking = 0
        self.tls_handshakes: Counter[str] = Counter()
        """Those that succeeded, by version."""
        self.tls_failures: Counter[str] = Counter()
        """By reason."""

    @property
    def address(self) -> str:
        """The listener as people write it: `127.0.0.1:4140`, `[::1]:4140`, `unix:/run/nodeagent/http.sock`."""
        return show_address(self.ip, self.port)

    @property
    def place(self) -> str:
        """The listener as linkerd's metrics have it: `127.0.0.1/4140`."""
        return self.address if is_socket_path(self.ip) else f"{self.ip}/{self.port}"

    def absorb(self, other: ServerStats) -> None:
        """Add what `other` has counted. Its gauges stay its own."""
        self.statuses = [mine + others for mine, others in zip(self.statuses, other.statuses, strict=True)]
        self.success += other.success
        self.failure += other.failure
        self.connects += other.connects
        self.connections_refused += other.connections_refused
        self.connections_denied += other.connections_denied
        self.connections_evicted += other.connections_evicted
        self.proxy_header_errors += other.proxy_header_errors
        self.tls_handshakes.update(other.tls_handshakes)
        self.tls_failures.update(other.tls_failures)


def status_classes(statuses: Sequence[int]) -> dict[str, int]:
    """Responses by class, of counts by first digit. What is above 599 counts as 5XX (RFC 9110, section 15)."""
    classes = {f"{digit}XX": statuses[digit] for digit in range(1, 5)}
    return {**classes, "5XX": sum(statuses[5:]), "error": statuses[0]}


class RetriesOfAll:
    """How many retries requests took: of the requests that had any, and with those that had none.

    These are known from the latencies, and cost nothing.
    """

    __slots__ = ("_requests", "_retried")

    def __init__(self, retried: Histogram, requests: Histogram) -> None:
        self._retried = retried
        self._requests = requests

    def snapshot(self) -> Snapshot:
        """All requests so far."""
        return self._retried.snapshot().with_zeros(self._requests.count)

    def window(self) -> Snapshot:
        """The requests within the last window."""
        return self._retried.window().with_zeros(self._requests.window().count)


class Series(ABC, Generic[R]):
    """The counters of one name, shared by everybody who holds it.

    `readers` are asked for the gauges that live elsewhere, one for each holder; a series is held as long as
    it has any.
    """

    __slots__ = ("duration", "failure", "name", "pending", "readers", "router", "success")

    def __init__(self, router: str, name: str) -> None:
        self.router = router
        self.name = name
        self.success = 0
        self.failure = 0
        self.pending = 0
        self.duration = Histogram()
        self.readers: list[Callable[[], R]] = []

    @abstractmethod
    def activity(self) -> int:
        """A number that grows with use: equal at two moments means untouched between them."""

    @abstractmethod
    def busy(self) -> bool:
        """True while requests or connections are open, whoever opened them: more will be counted."""

    def absorb(self, other: Self) -> None:
        """Add what `other` has counted. Its gauges stay its own."""
        self.success += other.success
        self.failure += other.failure
        self.duration.absorb(other.duration)

    def clear(self) -> None:
        """Set what was counted to zero, for it was absorbed elsewhere. Gauges stay."""
        self.success = 0
        self.failure = 0
        self.duration.clear()

    def adopt_gauges(self, other: Self) -> None:
        """Add the gauges of `other`: for a sum that is shown once and thrown away."""
        self.pending += other.pending
        self.readers += other.readers

    def roll(self) -> None:
        """A step of the window has passed (see `histogram`)."""
        self.duration.roll()


class ServiceStats(Series[float]):
    """One logical name: a request counts once here, however many attempts it took.

    A reader answers with the balance of a retry budget. `retries` counts retries by reason.
    `retries_per_request` observes the number of retries of each request that had any; those without are known
    from `duration`, and cost nothing. `rejected` counts requests refused because as many as `concurrency` allows were
    under way, by reason: `queue_full`, `queue_timeout`; these are failures too.

    `hedges` counts second copies by what became of them: "won", their answer was the caller's; "lost", another one
    was, or the caller left; "failed". `hedge_delay` is after how many seconds the latest request would have had one.
    """

    __slots__ = (
        "budget_exhausted",
        "concurrency",
        "hedge_budget_exhausted",
        "hedge_delay",
        "hedges",
        "rejected",
        "retries",
        "retries_per_request",
    )

    def __init__(self, router: str, name: str) -> None:
        super().__init__(router, name)
        self.retries: Counter[str] = Counter()
        self.retries_per_request = Histogram(SMALL_COUNT)
        self.budget_exhausted = 0
        self.hedges: Counter[str] = Counter()
        self.hedge_budget_exhausted = 0
        self.hedge_delay = 0.0
        self.rejected: Counter[str] = Counter()
        self.concurrency: Callable[[], Concurrency] | None = None
        """Asked for its gauges; None where concurrency has no limit."""

    def activity(self) -> int:
        exhausted = self.budget_exhausted + self.hedge_budget_exhausted
        return self.success + self.failure + exhausted + self.retries.total() + self.hedges.total()

    def busy(self) -> bool:
        return self.pending > 0

    def absorb(self, other: Self) -> None:
        super().absorb(other)
        self.retries.update(other.retries)
        self.rejected.update(other.rejected)
        self.retries_per_request.absorb(other.retries_per_request)
        self.budget_exhausted += other.budget_exhausted
        self.hedges.update(other.hedges)
        self.hedge_budget_exhausted += other.hedge_budget_exhausted

    def clear(self) -> None:
        super().clear()
        self.retries.clear()
        self.rejected.clear()
        self.retries_per_request.clear()
        self.budget_exhausted = 0
        self.hedges.clear()
        self.hedge_budget_exhausted = 0

    def adopt_gauges(self, other: Self) -> None:
        super().adopt_gauges(other)
        self.hedge_delay = max(self.hedge_delay, other.hedge_delay)

    def roll(self) -> None:
        super().roll()
        self.retries_per_request.roll()

    def retry_budget(self) -> float:
        """Retries that may be made now, over all holders: a name has one budget for each local dtab."""
        return sum(read() for read in self.readers)

    def retries_of_all(self) -> RetriesOfAll:
        """Retries per request, requests without any included."""
        return RetriesOfAll(self.retries_per_request, self.duration)


class ClientStats(Series[BalancerReading]):
    """One concrete name: every attempt counts here. A reader answers for a balancer.

    `connect_failures` counts by reason; `rejected` counts attempts that a full pool refused, by reason: `queue_full`,
    `queue_timeout`. `requeues` are repeats of what was never sent. Those that were not made are counted by what was
    short: `requeue_budget_exhausted`, or what one request may take of it, `requeue_limits`. `checks` counts active
    health checks, which are no attempts, by result: passed or failed. `statuses` counts responses as those of a
    listener, index 0 attempts without any. `transports` counts connections where TLS is configured: mtls, tls, plain.
    """

    __slots__ = (
        "checks",
        "connect_failures",
        "connections",
        "connects",
        "rejected",
        "requeue_budget_exhausted",
        "requeue_limits",
        "requeues",
        "statuses",
        "transports",
    )

    def __init__(self, router: str, name: str) -> None:
        super().__init__(router, name)
        self.transports: Counter[str] = Counter()
        self.connections = 0
        self.connects = 0
        self.statuses = [0] * 10
        self.connect_failures: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.requeues = 0
        self.checks: Counter[str] = Counter()
        self.requeue_budget_exhausted = 0
        self.requeue_limits = 0

    def activity(self) -> int:
        attempts = self.success + self.failure + self.connects + self.connect_failures.total() + self.rejected.total()
        requeues = self.requeues + self.requeue_budget_exhausted + self.requeue_limits
        return attempts + requeues + self.checks.total()

    def busy(self) -> bool:
        return self.pending > 0 or self.connections > 0

    def absorb(self, other: Self) -> None:
        super().absorb(other)
        self.connects += other.connects
        self.statuses = [mine + others for mine, others in zip(self.statuses, other.statuses, strict=True)]
        self.connect_failures.update(other.connect_failures)
        self.transports.update(other.transports)
        self.rejected.update(other.rejected)
        self.requeues += other.requeues
        self.checks.update(other.checks)
        self.requeue_budget_exhausted += other.requeue_budget_exhausted
        self.requeue_limits += other.requeue_limits

    def clear(self) -> None:
        super().clear()
        self.connect_failures.clear()
        self.transports.clear()
        self.checks.clear()
        self.rejected.clear()
        self.connects = 0
        self.statuses = [0] * 10
        self.requeues = self.requeue_budget_exhausted = self.requeue_limits = 0

    def adopt_gauges(self, other: Self) -> None:
        super().adopt_gauges(other)
        self.connections += other.connections

    def balancers(self) -> list[BalancerReading]:
        """What the balancers say now: mostly one; two while a reload drains the old one."""
        return [read() for read in self.readers]


class NamerStats:
    """One configured namer, as the owner of its watches last saw it.

    `staleness` is for how many seconds the source of an answer has been failing, of the answer for which that is
    the longest; `overdue_answers` counts those for which it is longer than `maxStaleSecs`.
    """

    __slots__ = ("errors", "overdue_answers", "prefix", "staleness", "updates")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.updates = 0
        self.errors = 0
        self.staleness = 0.0
        self.overdue_answers = 0

    def absorb(self, other: NamerStats) -> None:
        """Add what `other` has counted. Its gauges stay its own."""
        self.updates += other.updates
        self.errors += other.errors
