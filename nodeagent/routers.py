"""A router as configured: what its requests go through, before it has any listener."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from balancer.peers import Peers
from conf.router import AnyRouter, HttpRouter, TcpRouter, ZipkinTracePropagator
from namer.addr import Endpoint
from namer.namer import Bound
from nodeagent import access, policies
from nodeagent.naming.naming import Naming
from nodeagent.proxy.alarms import Alarms
from nodeagent.proxy.bind import Bindings
from nodeagent.proxy.checks import Checks
from nodeagent.proxy.compose import Composer
from nodeagent.proxy.dial import Dialer
from nodeagent.proxy.dispatch import Router
from nodeagent.proxy.server import Server
from nodeagent.telemetry.exchange import Exchanges
from nodeagent.telemetry.registry import Registry
from nodeagent.tracing import Tracing, make_trace
from tls.contexts import Contexts


@dataclass(slots=True)
class RunningRouter:
    """A router with its configuration and listeners."""

    config: AnyRouter
    router: Router
    servers: list[Server] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Its name in metrics and on the admin pages."""
        return self.config.label


@dataclass(frozen=True, slots=True)
class Common:
    """What all routers of an agent have in common."""

    naming: Naming
    contexts: Contexts
    stats: Registry
    exchanges: Exchanges
    tracing: Tracing
    alarms: Alarms
    checks: Checks
    rng: random.Random
    zone: str | None
    """That of this host, unless a policy says another one."""
    peers: Callable[[str, Bound], Peers] | None
    """The other processes of the host, by router and concrete name."""


def make_router(
    config: AnyRouter, common: Common, *, is_own: Callable[[Endpoint], bool], is_admin: Callable[[Endpoint], bool]
) -> Router:
    """Return what requests to a router go through. `is_own` tells its own listeners, `is_admin` the admin port."""
    opaque = isinstance(config, TcpRouter)
    guard = policies.make_guard(config, is_own, is_admin)
    composer = Composer(
        config.label,
        client_policy=lambda id_: policies.client_policy(config.client, id_, common.zone, opaque=opaque),
        service_policy=lambda name: policies.service_policy(config.service, name),
        dialer=Dialer(lambda endpoint: is_own(endpoint) or is_admin(endpoint), common.contexts),
        stats=common.stats,
        rng=common.rng,
        alarms=common.alarms,
        checks=common.checks,
        guard=guard,
        peers=common.peers,
        around=common.tracing.around,
    )
    bindings = Bindings(
        dtab=common.naming.dtab(config),
        namers=common.naming.namers_of(config),
        limits=policies.cache_limits(config),
        timeout=config.binding_timeout_ms / 1000,
        make_client=composer.client,
        make_service=composer.service,
        failover=config.failover == "health",
        guard=guard,
    )
    zipkin = isinstance(config, HttpRouter) and isinstance(config.trace_propagator, ZipkinTracePropagator)
    return Router(
        config.label,
        prefix=config.dst_prefix,
        identify=policies.identifier(config),
        bindings=bindings,
        trace=make_trace(common.rng, b3=zipkin, rate=common.tracing.rate),
        stats=common.stats,
        max_error=config.max_err_response_kb * 1024 if isinstance(config, HttpRouter) else 0,
        exchanges=common.exchanges,
        permits=access.permits(config, common.stats, common.naming),
    )
