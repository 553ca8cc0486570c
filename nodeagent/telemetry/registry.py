"""Who gets which counters, and for how long.

Names come from clients, so the number of series is bounded, in three steps:

* The first `eager` names of a router get series of their own at their first request.
* After those a name has to earn them with `EARNED` uses. Until then its counts are part of `other`, so that a
  flood of invented hosts moves one series, while a service that is really used appears within a sweep.
* Beyond `limit` names, whoever comes is counted in `other` itself.

No counter goes backwards by this: when a name earns its series, what it had counted stays with `other`.

A name is used through `acquire` and `release`, by whoever keeps it bound. A held name stays. A released one
goes after `idle` seconds without use (one that never earned its series: at the next sweep), but not while
requests or connections are still open on it, for they hold the object too and what they will count must be
seen. Use is noticed by comparing counters between sweeps, so the hot path does nothing for it.

A series that goes takes along what it had counted; it is not added to `other`. Prometheus takes the rate of each
series and sums up then, so that one that ends ends no sum; but one that jumps by what another had counted is traffic
that never was, a second time. The total that never goes backwards is that of the listeners.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import trio

from nodeagent.telemetry.histogram import STEP_SECONDS
from nodeagent.telemetry.stats import (
    BalancerReading,
    ClientStats,
    NamerStats,
    Series,
    ServerStats,
    ServiceStats,
)
from nodeagent.telemetry.tunnels import TunnelStats

OTHER = "other"
SWEEP_SECONDS = STEP_SECONDS
"""How often the owner calls `Registry.sweep`: each call is one step of the window of percentiles."""
IDLE_SECONDS = 600.0
"""How long a name is shown after its last use, unless somebody says otherwise."""
EARNED = 10
AT_A_TIME = 50
"""Names that a sweep looks after before others get a turn: 1 ms."""

S = TypeVar("S", bound=Series[Any])
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What bounds the names of a router, as above: how many are counted, how many are shown at once, and how long."""

    limit: int
    eager: int
    idle: float


@dataclass(frozen=True, slots=True)
class Renewals:
    """How often the certificate of this host was renewed, and could not be; when it is due, in seconds since 1970."""

    done: int
    failed: int
    due: float | None


@dataclass(slots=True)
class _Entry(Generic[S]):
    stats: S
    shown: bool = False
    earned: int = 0
    activity: int = -1
    touched_at: float = 0.0


class _Names(Generic[S]):
    """The names of one router."""

    __slots__ = ("_bounds", "_entries", "_make", "_other", "_other_used", "_shown")

    def __init__(self, make: Callable[[str], S], bounds: Bounds) -> None:
        self._make = make
        self._bounds = bounds
        self._entries: dict[str, _Entry[S]] = {}
        self._other = make(OTHER)
        self._other_used = False
        self._shown = 0

    def get(self, name: str) -> S:
        entry = self._entries.get(name)
        if entry is None:
            if len(self._entries) >= self._bounds.limit:
                self._other_used = True
                return self._other
            entry = self._entries[name] = _Entry(self._make(name))
            if self._shown < self._bounds.eager:
                self._show(entry)
        return entry.stats

    def series(self) -> Iterator[S]:
        for entry in self._entries.values():
            if entry.shown:
                yield entry.stats
        hidden = [entry.stats for entry in self._entries.values() if not entry.shown]
        if hidden or self._other_used:
            yield self._sum((self._other, *hidden))

    async def sweep(self, now: float) -> None:
        for number, (name, entry) in enumerate(tuple(self._entries.items())):
            if number % AT_A_TIME == 0:
                await trio.lowlevel.checkpoint()
            keep = self._keep_shown(entry, now) if entry.shown else self._keep_hidden(entry, now)
            if not keep:
                del self._entries[name]
        self._other.roll()

    def _keep_shown(self, entry: _Entry[S], now: float) -> bool:
        entry.stats.roll()
        activity = entry.stats.activity()
        if activity != entry.activity:
            entry.activity, entry.touched_at = activity, now
        if _in_use(entry.stats) or now - entry.touched_at < self._bounds.idle:
            return True
        self._shown -= 1
        return False

    def _keep_hidden(self, entry: _Entry[S], now: float) -> bool:
        entry.earned += entry.stats.activity()
        self._leave_to_other(entry.stats)
        if not _in_use(entry.stats):
            return False
        if entry.earned >= EARNED or self._shown < self._bounds.eager:
            entry.touched_at = now
            self._show(entry)
        return True

    def _show(self, entry: _Entry[S]) -> None:
        entry.shown = True
        self._shown += 1

    def _leave_to_other(self, stats: S) -> None:
        if stats.activity():
            self._other_used = True
            self._other.absorb(stats)
            stats.clear()

    def _sum(self, parts: tuple[S, ...]) -> S:
        total = self._make(OTHER)
        for part in parts:
            total.absorb(part)
            total.adopt_gauges(part)
        return total


def _in_use(stats: Series[Any]) -> bool:
    return bool(stats.readers) or stats.busy()


class Family(Generic[S, R]):
    """All series of one kind: those of services, or those of clients."""

    __slots__ = ("_bounds", "_make", "_routers")

    def __init__(self, make: Callable[[str, str], S], bounds: Bounds) -> None:
        self._make = make
        self._bounds = bounds
        self._routers: dict[str, _Names[S]] = {}

    def acquire(self, router: str, name: str, reader: Callable[[], R]) -> S:
        """The counters of a name, to be held until `release` with the same `reader`.

        `reader` is asked for the gauges whenever somebody looks; it must not block. Beyond the limit of names
        the counters are those of `other`.
        """
        stats = self._names(router).get(name)
        stats.readers.append(reader)
        return stats

    def release(self, stats: S, reader: Callable[[], R]) -> None:
        """End one `acquire`. Requests still open may go on counting; what they count is not lost.

        Raises ValueError when `reader` does not hold `stats`.
        """
        stats.readers.remove(reader)

    def series(self) -> Iterator[S]:
        """What to show: bounded, the folded names summed up as `other`. Read it at once, then drop it."""
        for names in self._routers.values():
            yield from names.series()

    async def sweep(self, now: float) -> None:
        """Forget what is idle at `now` (seconds), show what has earned it, and move the windows on.

        Others get their turn in between. Cancelling is safe.
        """
        for names in tuple(self._routers.values()):
            await names.sweep(now)

    def _names(self, router: str) -> _Names[S]:
        names = self._routers.get(router)
        if names is None:
            names = _Names[S](lambda name: self._make(router, name), self._bounds)
            self._routers[router] = names
        return names


@dataclass(slots=True)
class MemoryStats:
    """The ceiling for the agent's memory."""

    limit: int | None = None
    """In bytes; None when there is none."""
    shedding: bool = False
    """Whether new requests are refused because of it."""


class Registry:
    """Everything that is counted in one agent.

    `limit` bounds the service names, and the client names, of a router; `eager` is how many of them are shown
    before they have earned it; `idle` is after how many seconds without use a name goes. At their defaults a flood of
    names leaves under 1,000 series.
    """

    __slots__ = (
        "_access_logs",
        "_authorizers",
        "_errors",
        "_namers",
        "_policies",
        "_servers",
        "_spans",
        "_tunnels",
        "clients",
        "memory",
        "originators",
        "services",
        "survey_certificates",
        "survey_identity",
        "survey_namers",
    )

    def __init__(self, *, limit: int = 1000, eager: int = 16, idle: float = IDLE_SECONDS) -> None:
        bounds = Bounds(limit, eager, idle)
        self.services: Family[ServiceStats, float] = Family(ServiceStats, bounds)
        self.clients: Family[ClientStats, BalancerReading] = Family(ClientStats, bounds)
        self.memory = MemoryStats()
        self.originators: set[str] = set()
        """Routers that are the first agent on the way of their requests (linkerd's key)."""
        self.survey_namers: Callable[[], None] = _nothing
        """Brings the counters of the namers up to date; called when somebody looks."""
        self.survey_certificates: Callable[[], dict[str, float]] = dict
        """Tells when each certificate that the agent shows expires, by its file; in seconds since 1970."""
        self.survey_identity: Callable[[], Renewals | None] = _no_identity
        """Tells of the renewals of this host's certificate; None where the agent does not renew it."""
        self._servers: dict[tuple[str, str, int], ServerStats] = {}
        self._namers: dict[str, NamerStats] = {}
        self._errors: dict[str, Counter[str]] = {}
        self._access_logs: dict[str, Counter[str]] = {}
        self._policies: dict[str, Counter[str]] = {}
        self._authorizers: dict[str, Counter[str]] = {}
        self._tunnels: dict[str, TunnelStats] = {}
        self._spans: dict[str, Counter[str]] = {}

    def server(self, router: str, ip: str, port: int) -> ServerStats:
        """The counters of a listener, made on first use."""
        key = (router, ip, port)
        if key not in self._servers:
            self._servers[key] = ServerStats(router, ip, port)
        return self._servers[key]

    def namer(self, prefix: str) -> NamerStats:
        """The counters of a configured namer, made on first use."""
        if prefix not in self._namers:
            self._namers[prefix] = NamerStats(prefix)
        return self._namers[prefix]

    def errors(self, router: str) -> Counter[str]:
        """How often a router made an error response itself, by Proxy-Status error type (RFC 9209)."""
        return self._errors.setdefault(router, Counter())

    def access_log(self, router: str) -> Counter[str]:
        """Lines of the access log of a router by what became of them: written or dropped. Made on first use."""
        return self._access_logs.setdefault(router, Counter(written=0, dropped=0))

    def policy(self, router: str) -> Counter[str]:
        """What the rules of a router decided, by `VERDICT RULE`. Made on first use."""
        return self._policies.setdefault(router, Counter())

    def authorizers(self, router: str) -> Counter[str]:
        """What those whom rules of a router ask have said, by `RESULT NAME`, and `microseconds NAME` that they took.

        Made on first use.
        """
        return self._authorizers.setdefault(router, Counter())

    def tunnels(self, router: str) -> TunnelStats:
        """The tunnels of a router, made on first use."""
        if router not in self._tunnels:
            self._tunnels[router] = TunnelStats(router)
        return self._tunnels[router]

    def tunnels_by_router(self) -> tuple[TunnelStats, ...]:
        """All routers that have been asked for, with their tunnels."""
        return tuple(self._tunnels.values())

    def spans(self, exporter: str) -> Counter[str]:
        """What became of the spans of an exporter: `exported`, `dropped` or `failed`."""
        return self._spans.setdefault(exporter, Counter())

    def spans_by_exporter(self) -> dict[str, Counter[str]]:
        """All exporters that have been asked for, with what became of their spans."""
        return dict(self._spans)

    def servers(self) -> tuple[ServerStats, ...]:
        """All listeners."""
        return tuple(self._servers.values())

    def namers(self) -> tuple[NamerStats, ...]:
        """All namers, as they are now."""
        self.survey_namers()
        return tuple(self._namers.values())

    def errors_by_router(self) -> dict[str, Counter[str]]:
        """All routers that have been asked for, with their errors."""
        return dict(self._errors)

    def access_logs_by_router(self) -> dict[str, Counter[str]]:
        """All routers that have an access log, with its lines."""
        return dict(self._access_logs)

    def policies_by_router(self) -> dict[str, Counter[str]]:
        """All routers that have rules, with what these decided."""
        return dict(self._policies)

    def authorizers_by_router(self) -> dict[str, Counter[str]]:
        """All routers whose rules ask somebody, with the answers."""
        return dict(self._authorizers)

    async def sweep(self, now: float) -> None:
        """To be called every `SWEEP_SECONDS` by the owner, with the trio clock. As `Family.sweep`."""
        await self.services.sweep(now)
        await self.clients.sweep(now)


def _nothing() -> None: ...


def _no_identity() -> None:
    return None
