"""Composes what a name's policies ask for, once, when the name is bound."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import trio

from balancer.limiter import AdmissionParams
from balancer.params import make_balancer, make_retry_budget
from namer.namer import Bound
from namer.path import Path
from nodeagent.proxy.admission import Admission, LimitedService
from nodeagent.proxy.balance import Client, ClientPolicy
from nodeagent.proxy.dial import Dialer
from nodeagent.proxy.fixed import FixedStatus, status_of
from nodeagent.proxy.service import Leaves, Service, ServicePolicy
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import ServiceStats


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
    admissions: WeakValueDictionary[Path, Admission] = field(default_factory=WeakValueDictionary)
    """Of the names whose concurrency is limited, while they are bound or requests to them are under way."""

    def client(self, bound: Bound) -> Client:
        """Return the client of a concrete name."""
        policy = self.client_policy(bound.id)
        kind = Client if status_of(bound.id) is None else FixedStatus
        return kind(
            bound.id,
            bound.addr,
            policy=policy,
            balancer=make_balancer(policy.balancer, policy.accrual, self.rng),
            dialer=self.dialer,
            family=self.stats.clients,
            router=self.router,
        )

    def service(self, name: Path, leaves: Leaves, recovering: Leaves, before: Service | None) -> Service:
        """Return the service of a logical name, made of `leaves` and `recovering` as it says.

        `before` is the service that this one follows; the
        budget for retries is the same.
        """
        policy = self.service_policy(name)
        budget = before.budget if before is not None else make_retry_budget(policy.budget)
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
            stats=stats,
            rng=self.rng,
            release=lambda: self.stats.services.release(stats, balance),
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
