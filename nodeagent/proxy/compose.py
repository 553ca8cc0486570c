"""Composes what a name's policies ask for, once, when the name is bound."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import trio

from balancer.balancer import Balancer
from balancer.limiter import AdmissionParams
from balancer.params import make_balancer, make_retry_budget
from balancer.peers import Peers
from namer.namer import Bound
from namer.path import Path
from nodeagent.proxy.admission import Admission, LimitedService
from nodeagent.proxy.alarms import Alarms
from nodeagent.proxy.attemptspan import Around, as_they_are
from nodeagent.proxy.balance import Client, ClientPolicy
from nodeagent.proxy.checks import CheckedEndpoints, Checker, Checks
from nodeagent.proxy.dial import Dialer
from nodeagent.proxy.fixed import FixedStatus, status_of
from nodeagent.proxy.guard import Guard, GuardPolicy
from nodeagent.proxy.hedge import Hedges
from nodeagent.proxy.service import Leaves, Service, ServicePolicy
from nodeagent.proxy.sticky import StickyClient
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import ClientStats, ServiceStats


@dataclass(frozen=True, slots=True)
class Composer:
    """Makes the clients and services of one router."""

    router: str
    client_policy: Callable[[Path], ClientPolicy]
    """The policy of a concrete id."""
    service_policy: Callable[[Path], ServicePolicy]
    """The policy of a logical name."""
    dialer: Dialer
    stats: Registry
    rng: random.Random
    alarms: Alarms
    """Who starts second copies."""
    checks: Checks | None = None
    """Who makes active health checks; None where no policy asks for any."""
    guard: Guard = field(default_factory=lambda: Guard(GuardPolicy()))
    """Who judges the addresses of concrete names."""
    around: Around = as_they_are
    """What stands around each attempt."""
    peers: Callable[[str, Bound], Peers] | None = None
    """The other processes of the host, by router and concrete name; None when there are none."""
    admissions: WeakValueDictionary[Path, Admission] = field(default_factory=WeakValueDictionary)
    """Of the names whose concurrency is limited, while they are bound or requests to them are under way."""

    def client(self, bound: Bound) -> Client:
        """Return the client of a concrete name."""
        policy = self.client_policy(bound.id)
        peers = None if self.peers is None else self.peers(self.router, bound)
        balancer = make_balancer(policy.balancer, policy.accrual, self.rng, peers)
        kind = Client if policy.affinity is None else StickyClient
        if status_of(bound.id) is not None:
            kind = FixedStatus
        return kind(
            bound.id,
            self.guard.guarded(bound).addr,
            policy=policy,
            balancer=balancer,
            dialer=self.dialer,
            family=self.stats.clients,
            router=self.router,
            checked=self._checked(bound.id, policy, balancer),
        )

    def _checked(
        self,
        id: Path,  # noqa: A002
        policy: ClientPolicy,
        balancer: Balancer,
    ) -> Callable[[ClientStats], CheckedEndpoints] | None:
        if policy.check is None or self.checks is None:
            return None
        checker = Checker(policy.check, self.dialer, policy.tls)
        log = {"router": self.router, "client": id.show()}
        return functools.partial(CheckedEndpoints, self.checks, policy.check.schedule, checker, balancer, log)

    def service(self, name: Path, leaves: Leaves, recovering: Leaves, before: Service | None) -> Service:
        """Return the service of a logical name, made of `leaves` and `recovering` as it says.

        `before` is the service that this one follows: the budget for retries is the same, and what was learnt for
        hedging.
        """
        policy = self.service_policy(name)
        budget = before.budget if before is not None else make_retry_budget(policy.budget)
        hedges = None
        if policy.hedging is not None:
            ids = (client.id for _, client in leaves)
            hedges = Hedges(policy.hedging, self.alarms, ids, None if before is None else before.hedges)
        now = trio.lowlevel.current_clock().current_time

        def balance() -> float:
            return budget.balance(now())

        stats = self.stats.services.acquire(self.router, name.show(), balance)
        service = (Service if policy.admission is None else LimitedService)(
            name,
            leaves,
            recovering,
            policy=policy,
            budget=budget,
            hedges=hedges,
            stats=stats,
            rng=self.rng,
            release=lambda: self.stats.services.release(stats, balance),
            around=self.around,
        )
        if isinstance(service, LimitedService) and policy.admission is not None:
            service.admission = self._admission(name, policy.admission, stats)
        return service

    def _admission(self, name: Path, params: AdmissionParams, stats: ServiceStats) -> Admission:
        """Return the admission of a name, which all that it is bound to share."""
        admission = self.admissions.get(name)
        if admission is None:
            admission = self.admissions[name] = Admission(name, params)
        if stats.name == name.show():  # and not what is shared by names that are not shown
            stats.concurrency = admission.reading
        return admission
