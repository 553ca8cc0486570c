"""What all workers have counted, those that are gone included: one registry for the whole. Pure.

Counters never go backwards. A worker that dies leaves what it had last told; one that forgets a name that was not used
for long leaves that too, until no worker has known the name for as long. What a worker counted after it last told is
lost with it: it is asked every few seconds, and whenever somebody looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from nodeagent.telemetry.histogram import STEP_SECONDS
from nodeagent.telemetry.registry import IDLE_SECONDS, Registry
from nodeagent.telemetry.stats import (
    BalancerReading,
    ClientStats,
    Concurrency,
    NamerStats,
    Series,
    ServerStats,
    ServiceStats,
)
from nodeagent.telemetry.tunnels import TunnelStats
from nodeagent.workers.counts import Counts, clients_in, joined, namers_in, servers_in, services_in, tunnels_in

if TYPE_CHECKING:
    from nodeagent.identity import HostIdentity


class _Absorbs(Protocol):
    def absorb(self, other: Self) -> None: ...


A = TypeVar("A", bound=_Absorbs)


class _Kept(Generic[A]):
    """The things of one kind: what each worker has told of them, and what is left of those that told no more."""

    def __init__(self, make: Callable[[A], A], went_back: Callable[[A, A], bool]) -> None:
        """`make` makes an empty one for the same thing; `went_back` tells whether the second was begun anew."""
        self._make = make
        self._went_back = went_back
        self._told: dict[int, dict[Hashable, A]] = {}
        self.left: dict[Hashable, A] = {}
        self._unknown: Counter[Hashable] = Counter()
        """For how many steps no worker has known what is left."""

    def tell(self, worker: int, things: Iterable[tuple[Hashable, A]]) -> None:
        """Take in all that a worker tells now."""
        before = self._told.get(worker, {})
        now = self._told[worker] = dict(things)
        for key, old in before.items():
            if key not in now or self._went_back(old, now[key]):
                self._leave(key, old)

    def lose(self, worker: int) -> None:
        """Keep what a worker told last: it is dead, and another one comes in its place."""
        for key, old in self._told.pop(worker, {}).items():
            self._leave(key, old)

    def age(self, idle_steps: int) -> None:
        """Forget what no worker has known for so many steps; one of the window has passed."""
        known = {key for told in self._told.values() for key in told}
        self._unknown = Counter({key: self._unknown[key] + 1 for key in self.left.keys() - known})
        for key, steps in self._unknown.items():
            if steps > idle_steps:
                del self.left[key]

    def told(self, worker: int) -> Collection[A]:
        """What a worker told last."""
        return self._told.get(worker, {}).values()

    def all(self) -> dict[Hashable, list[A]]:
        """What is known of each thing: what is left first, then by worker."""
        found: dict[Hashable, list[A]] = {key: [each] for key, each in self.left.items()}
        for worker in sorted(self._told):
            for key, each in self._told[worker].items():
                found.setdefault(key, []).append(each)
        return found

    def _leave(self, key: Hashable, old: A) -> None:
        if key not in self.left:
            self.left[key] = self._make(old)
        self.left[key].absorb(old)


class _Counted(Counter[str]):
    """What a router has counted by a word, as its errors by type, or an exporter its spans by result."""

    def absorb(self, other: Self) -> None:
        self.update(other)


class Ledger:
    """All that was counted, by worker."""

    def __init__(self, idle: float = IDLE_SECONDS) -> None:
        """What no worker has known for `idle` seconds is forgotten."""
        self._idle_steps = ceil(idle / STEP_SECONDS)
        self._services: _Kept[ServiceStats] = _Kept(lambda one: ServiceStats(one.router, one.name), _restarted)
        self._clients: _Kept[ClientStats] = _Kept(lambda one: ClientStats(one.router, one.name), _restarted)
        self._servers: _Kept[ServerStats] = _Kept(lambda one: ServerStats(one.router, one.ip, one.port), _never)
        self._namers: _Kept[NamerStats] = _Kept(lambda one: NamerStats(one.prefix), _never)
        self._errors: _Kept[_Counted] = _Kept(lambda _: _Counted(), _never)
        self._access_logs: _Kept[_Counted] = _Kept(lambda _: _Counted(), _never)
        self._spans: _Kept[_Counted] = _Kept(lambda _: _Counted(), _never)
        self._policies: _Kept[_Counted] = _Kept(lambda _: _Counted(), _never)
        self._authorizers: _Kept[_Counted] = _Kept(lambda _: _Counted(), _never)
        self._tunnels: _Kept[TunnelStats] = _Kept(lambda one: TunnelStats(one.router), _never)
        self._memory: dict[int, tuple[int | None, bool]] = {}
        self._certificates: dict[int, dict[str, float]] = {}
        self.originators: set[str] = set()
        """As in a registry."""
        self.identity: HostIdentity | None = None
        """What the supervisor keeps itself."""

    def tell(self, worker: int, counts: Counts) -> None:
        """Take in what a worker has counted so far."""
        self._services.tell(worker, (((each.router, each.name), each) for each in services_in(counts)))
        self._clients.tell(worker, (((each.router, each.name), each) for each in clients_in(counts)))
        self._servers.tell(worker, (((each.router, each.ip, each.port), each) for each in servers_in(counts)))
        self._namers.tell(worker, ((each.prefix, each) for each in namers_in(counts)))
        self._errors.tell(worker, ((router, _Counted(errors)) for router, errors in counts.errors.items()))
        self._access_logs.tell(worker, ((router, _Counted(lines)) for router, lines in counts.access_logs.items()))
        self._spans.tell(worker, ((exporter, _Counted(results)) for exporter, results in counts.spans.items()))
        self._policies.tell(worker, ((router, _Counted(each)) for router, each in counts.policies.items()))
        self._authorizers.tell(worker, ((router, _Counted(each)) for router, each in counts.authorizers.items()))
        self._tunnels.tell(worker, ((each.router, each) for each in tunnels_in(counts)))
        self._certificates[worker] = counts.certificates
        self._memory[worker] = counts.memory_limit, counts.shedding

    def lose(self, worker: int) -> None:
        """Keep what a dead worker has counted."""
        kinds = (
            self._services,
            self._clients,
            self._servers,
            self._namers,
            self._errors,
            self._access_logs,
            self._spans,
            self._policies,
            self._authorizers,
            self._tunnels,
        )
        for kept in kinds:
            kept.lose(worker)
        self._memory.pop(worker, None)
        self._certificates.pop(worker, None)

    def traffic(self, worker: int) -> tuple[int, int]:
        """Return how many requests a worker has answered, and how many connections it has, as it told last."""
        servers = self._servers.told(worker)
        return sum(sum(each.statuses) for each in servers), sum(each.connections for each in servers)

    def roll(self) -> None:
        """A step of the window has passed (see `histogram`): what is left moves on. Workers do it themselves."""
        self._services.age(self._idle_steps)
        self._clients.age(self._idle_steps)
        for service in self._services.left.values():
            service.roll()
        for client in self._clients.left.values():
            client.roll()

    def registry(self) -> Registry:
        """Return all of it as one registry, to be shown and thrown away."""
        limit = 1 + len(self._services.all()) + len(self._clients.all())
        whole = Registry(limit=limit, eager=limit)
        whole.originators |= self.originators
        for services in self._services.all().values():
            _add_service(whole, services)
        for clients in self._clients.all().values():
            _add_client(whole, clients)
        for servers in self._servers.all().values():
            for each in servers:
                server = whole.server(each.router, each.ip, each.port)
                server.absorb(each)
                server.connections += each.connections
                server.connections_limit += each.connections_limit
                server.pending += each.pending
                server.tls_handshaking += each.tls_handshaking
        for namers in self._namers.all().values():
            _add_namer(whole, namers)
        for router, errors in self._errors.all().items():
            for counted in errors:
                whole.errors(str(router)).update(counted)
        for router, logs in self._access_logs.all().items():
            for lines in logs:
                whole.access_log(str(router)).update(lines)
        for exporter, results in self._spans.all().items():
            for counted in results:
                whole.spans(str(exporter)).update(counted)
        for router, policies in self._policies.all().items():
            for decisions in policies:
                whole.policy(str(router)).update(decisions)
        for router, authorizers in self._authorizers.all().items():
            for answers in authorizers:
                whole.authorizers(str(router)).update(answers)
        for tunnels in self._tunnels.all().values():
            for told in tunnels:
                sums = whole.tunnels(told.router)
                sums.absorb(told)
                sums.adopt_open(told)
        limits = [limit for limit, _ in self._memory.values() if limit is not None]
        whole.memory.limit = sum(limits) if limits else None
        whole.memory.shedding = any(shedding for _, shedding in self._memory.values())
        certificates = list(self._certificates.values())
        if self.identity is not None:
            certificates.append(self.identity.expiry())
            whole.survey_identity = self.identity.renewals
        whole.survey_certificates = partial(_first_ends, certificates)
        return whole


def _first_ends(told: list[dict[str, float]]) -> dict[str, float]:
    """Of each certificate the earliest end: who has read a new one late shows it late."""
    found: dict[str, float] = {}
    for certificates in told:
        for file, expires in certificates.items():
            found[file] = min(expires, found.get(file, expires))
    return found


def _add_service(whole: Registry, parts: list[ServiceStats]) -> None:
    budgets = [reader for part in parts for reader in part.readers]
    stats = whole.services.acquire(parts[0].router, parts[0].name, lambda: sum(budget() for budget in budgets))
    for part in parts:
        stats.absorb(part)
        stats.pending += part.pending
        stats.hedge_delay = max(stats.hedge_delay, part.hedge_delay)
    limited = [part.concurrency() for part in parts if part.concurrency is not None]
    if limited:
        total = Concurrency(
            sum(each.limit for each in limited),
            sum(each.under_way for each in limited),
            sum(each.waiting for each in limited),
        )
        stats.concurrency = lambda: total


def _add_client(whole: Registry, parts: list[ClientStats]) -> None:
    readings = _joined_by_rank([part.balancers() for part in parts])
    stats = whole.clients.acquire(parts[0].router, parts[0].name, _nobody)
    stats.readers[:] = readings
    for part in parts:
        stats.absorb(part)
        stats.pending += part.pending
        stats.connections += part.connections


def _joined_by_rank(of_each: list[list[BalancerReading]]) -> list[Callable[[], BalancerReading]]:
    """Join the first balancers of all workers, then the second ones: mostly there is one."""
    longest = max((len(readings) for readings in of_each), default=0)
    ranks = [[readings[rank] for readings in of_each if rank < len(readings)] for rank in range(longest)]
    return [_answering(joined(rank)) for rank in ranks]


def _add_namer(whole: Registry, parts: list[NamerStats]) -> None:
    stats = whole.namer(parts[0].prefix)
    for part in parts:
        stats.absorb(part)
    stats.staleness = max(part.staleness for part in parts)
    stats.overdue_answers = max(part.overdue_answers for part in parts)


def _restarted(old: Series[float] | Series[BalancerReading], new: Series[float] | Series[BalancerReading]) -> bool:
    return new.activity() < old.activity()


def _never(old: object, new: object) -> bool:  # noqa: ARG001
    return False


def _answering(reading: BalancerReading) -> Callable[[], BalancerReading]:
    return lambda: reading


def _nobody() -> BalancerReading:
    raise AssertionError("it is never read")
