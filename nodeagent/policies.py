"""Configuration values -> the values that the route works with. Pure; the one place where milliseconds end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_network
from typing import Final

from balancer import backoff
from balancer.checks import CheckSchedule
from balancer.hedge import HedgeParams
from balancer.limiter import AdmissionParams, FixedParams, GradientParams
from balancer.params import AccrualParams, BalancerParams, RetryBudgetParams
from balancer.zones import ZoneParams
from conf import balancing, checks, concurrency, identifiers, resolve, retries
from conf.client import AnyClientPolicy, ClientParams, parts_of
from conf.guard import AddressGuard
from conf.hedging import Hedging
from conf.router import AnyRouter, TcpRouter
from conf.server import Listener, Server, TcpServer
from conf.service import AnyServicePolicy, ServiceParams
from conf.tls import ApiTlsKeys, ClientTlsKeys, ServerCertificate
from conf.tls import ClientAuth as ClientCertificate
from namer.addr import Endpoint
from namer.path import Path
from nodeagent.proxy import identify
from nodeagent.proxy.affinity import Affinity, ByCookie, ByHeader
from nodeagent.proxy.balance import ClientPolicy
from nodeagent.proxy.bind import CacheLimits
from nodeagent.proxy.checks import CheckParams, HttpCheck
from nodeagent.proxy.classify import RETRYABLE_METHODS, make_classifier
from nodeagent.proxy.guard import Guard, GuardPolicy, nobody
from nodeagent.proxy.identify import Identifier
from nodeagent.proxy.messages import RequestHead
from nodeagent.proxy.pool import PoolLimits
from nodeagent.proxy.proxyheader import Version
from nodeagent.proxy.server import ServerLimits
from nodeagent.proxy.service import ServicePolicy
from tls.params import PROTOCOLS, Agents, ClientAuth, ClientTls, ContextParams, OwnCertificate, ServerParams

MAX_SHARED: Final = 256
"""Names with the same policy share its values, of as many policies: few but those that capture parts of a name."""


def client_policy(
    policy: AnyClientPolicy,
    id: Path,  # noqa: A002
    zone: str | None = None,
    *,
    opaque: bool = False,
) -> ClientPolicy:
    """Return how the concrete name `id` is called from a host that is in `zone` unless the policy says another one.

    `opaque` where connections are passed on, whatever is said on them.
    """
    return _client_policy(resolve(policy, id), zone, opaque)


@lru_cache(MAX_SHARED)
def _client_policy(params: ClientParams, zone: str | None, opaque: bool) -> ClientPolicy:
    pool, session = params.host_connection_pool, params.client_session
    tls = client_tls(params.tls)
    header = None if params.proxy_protocol == "none" else params.proxy_protocol
    return ClientPolicy(
        connect_timeout=params.connect_timeout_ms / 1000,
        attempt_timeout=_seconds(params.request_attempt_timeout_ms),
        pool=PoolLimits(
            min_size=pool.min_size,
            max_size=math.inf if pool.max_size is None else pool.max_size,
            max_waiters=math.inf if pool.max_waiters is None else pool.max_waiters,
            max_wait=(params.connect_timeout_ms if pool.max_wait_ms is None else pool.max_wait_ms) / 1000,
            idle_time=min(pool.idle_time_ms / 1000, _limit(session.idle_time_ms)),
            life_time=_limit(session.life_time_ms) if header is None else 0.0,
        ),
        tls=tls,
        proxy_header=header,
        forward_client_cert=params.forward_client_cert,
        tunnel_tls=tls if opaque or (tls is not None and tls.agents is not None) else None,
        tunnel_through=not opaque,
        max_retry_after=params.max_retry_after_secs,
        balancer=replace(
            _balancer(params.load_balancer),
            slow_start=params.slow_start_ms / 1000,
            max_ejected=params.failure_accrual.max_ejection_percent / 100,
            all_dead=params.when_all_dead,
            zones=_zones(params.zone_preference, zone),
        ),
        accrual=replace(_accrual(params.failure_accrual), fail_fast=params.fail_fast),
        requeues=_budget(params.requeue_budget),
        check=_check(params.health_check, header),
        affinity=_affinity(params.load_balancer),
    )


def service_policy(policy: AnyServicePolicy, name: Path) -> ServicePolicy:
    """Return how the logical name `name` is served."""
    return _service_policy(resolve(policy, name))


@lru_cache(MAX_SHARED)
def _service_policy(params: ServiceParams) -> ServicePolicy:
    kind = params.response_classifier.kind
    return ServicePolicy(
        classify=make_classifier(kind),
        retry_methods=RETRYABLE_METHODS[kind],
        backoffs=_backoff(params.retry_backoff).delays,
        total_timeout=_seconds(params.total_timeout_ms),
        budget=_budget(params.retry_budget),
        hedging=_hedging(params.hedging),
        max_retries=params.max_retries,
        admission=_admission(params.concurrency),
    )


def cache_limits(config: AnyRouter) -> CacheLimits:
    """Return the sizes of the caches of a router."""
    cache = config.binding_cache
    return CacheLimits(names=cache.paths, clients=cache.clients, idle_ttl=cache.idle_ttl_secs)


def make_guard(
    config: AnyRouter, is_own: Callable[[Endpoint], bool] = nobody, is_admin: Callable[[Endpoint], bool] = nobody
) -> Guard:
    """Return who judges the addresses of a router's names; `is_own` and `is_admin` as of a guard."""

    if not any(keys.tls is not None and keys.tls.agents == "strict" for _, keys in parts_of(config.client)):
        return Guard(guard_policy(config.address_guard), is_own, is_admin)

    def agents_only(id_: Path) -> bool:
        tls = client_policy(config.client, id_).tls
        return tls is not None and tls.agents is not None and tls.agents.strict

    return Guard(guard_policy(config.address_guard), is_own, is_admin, agents_only)


def guard_policy(config: AddressGuard) -> GuardPolicy:
    """Return which addresses may be dialled."""
    return GuardPolicy(
        enabled=config.enabled,
        allow=tuple(map(ip_network, config.allow)),
        deny=tuple(map(ip_network, config.deny)),
        deny_ports=config.deny_ports,
        discovery=config.discovery,
    )


def server_limits(router: AnyRouter, server: Server | TcpServer) -> ServerLimits:
    """Return what a listener takes."""
    defaults = ServerLimits()
    concurrent = math.inf if server.max_concurrent_requests is None else server.max_concurrent_requests
    connections = math.inf if server.max_connections is None else server.max_connections
    if isinstance(router, TcpRouter) or isinstance(server, TcpServer):
        idle = server.server_session.idle_time_ms / 1000
        return ServerLimits(concurrent=concurrent, connections=connections, tunnel_idle=idle)
    session = server.server_session
    return ServerLimits(
        line=router.max_initial_line_kb * 1024,
        head=router.max_headers_kb * 1024,
        idle=defaults.idle if session.idle_time_ms is None else session.idle_time_ms / 1000,
        life=_limit(session.life_time_ms),
        call_depth=server.max_call_depth,
        concurrent=concurrent,
        connections=connections,
        stream_idle=session.stream_idle_time_ms / 1000,
    )


def identifier(config: AnyRouter) -> Callable[[RequestHead], Path]:
    """Return what turns a request of this router into its logical name; nothing does where a listener stands for it."""
    configs = () if isinstance(config, TcpRouter) else config.identifier
    return identify.first_of(config.dst_prefix, [_identifier(each) for each in configs])


def _identifier(config: identifiers.AnyIdentifier) -> Identifier:
    match config:
        case identifiers.HeaderToken(header):
            return identify.by_header_token(header)
        case identifiers.HeaderPath(header):
            return identify.by_header(header)
        case identifiers.UrlPathIdentifier(segments, consume):
            return identify.by_path(segments, consume)
        case identifiers.MethodAndHost(http_uri_in_dst):
            return identify.by_method_and_host(http_uri_in_dst)
        case identifiers.StaticIdentifier(path):
            return identify.static(path)


def _balancer(config: balancing.AnyBalancer) -> BalancerParams:
    match config:
        case balancing.Ewma():
            return BalancerParams("ewma", config.max_effort, config.choices, decay=config.decay_time_ms / 1000)
        case balancing.P2c():
            return BalancerParams("p2c", config.max_effort, config.choices)
        case balancing.ApertureBalancer():
            return BalancerParams(
                "aperture",
                config.max_effort,
                smooth_window=config.smooth_window_ms / 1000,
                low_load=config.low_load,
                high_load=config.high_load,
                min_aperture=config.min_aperture,
            )
        case balancing.HeapBalancer():
            return BalancerParams("heap")
        case balancing.RoundRobinBalancer():
            return BalancerParams("roundRobin", config.max_effort)
        case balancing.RingHash():
            return BalancerParams("ringHash", config.max_effort, choices=2)


def _affinity(config: balancing.AnyBalancer) -> Affinity | None:
    match config:
        case balancing.RingHash(header=str(header)):
            return ByHeader(header.lower().encode())
        case balancing.RingHash(cookie=str(cookie)):
            return ByCookie(cookie.encode(), config.set_cookie)
        case _:
            return None


def _zones(config: balancing.ZonePreference | None, zone: str | None) -> ZoneParams | None:
    here = zone if config is None or config.zone is None else config.zone
    if config is None or here is None:
        return None
    return ZoneParams(here, config.overprovisioning_percent / 100)


def _accrual(config: balancing.AnyAccrual) -> AccrualParams:
    pause = AccrualParams().backoff if config.backoff is None else _backoff(config.backoff)
    match config:
        case balancing.ConsecutiveFailures():
            return AccrualParams("consecutiveFailures", failures=config.failures, backoff=pause)
        case balancing.SuccessRate():
            rate, requests = config.success_rate, config.requests
            return AccrualParams("successRate", success_rate=rate, requests=requests, backoff=pause)
        case balancing.SuccessRateWindowed():
            rate, window = config.success_rate, config.window
            return AccrualParams("successRateWindowed", success_rate=rate, window=window, backoff=pause)
        case balancing.NoAccrual():
            return AccrualParams("none", backoff=pause)


def _check(config: checks.AnyHealthCheck, header: Version | None) -> CheckParams | None:
    match config:
        case checks.NoCheck():
            return None
        case checks.TcpCheck():
            http = None
        case checks.HttpCheck():
            http = HttpCheck(config.path, config.method, config.host, checks.statuses(config.expect))
    schedule = CheckSchedule(config.interval_ms / 1000, config.rise, config.fall)
    return CheckParams(schedule, config.timeout / 1000, config.port, http, header)


def _backoff(config: retries.AnyRetryBackoff) -> backoff.Backoff:
    match config:
        case retries.ConstantBackoff(ms):
            return backoff.ConstantBackoff(ms / 1000)
        case retries.JitteredBackoff(min_ms, max_ms):
            return backoff.DecorrelatedJitter(min_ms / 1000, max_ms / 1000)
        case retries.FullJitterBackoff(min_ms, max_ms):
            return backoff.ExponentialJitter(min_ms / 1000, max_ms / 1000)


def _budget(config: retries.RetryBudget) -> RetryBudgetParams:
    return RetryBudgetParams(config.ttl_secs, config.min_retries_per_sec, config.percent_can_retry)


def _hedging(config: Hedging | None) -> HedgeParams | None:
    if config is None or not config.max_extra_percent:
        return None
    return HedgeParams(config.percentile, config.max_extra_percent / 100, config.min_delay_ms / 1000)


def server_tls(server: Listener) -> ServerParams | None:
    """Return the TLS that a listener speaks, None when it is plain."""
    keys = server.tls
    if keys is None:
        return None
    asks: ClientAuth = "none" if keys.ca_cert_path is None else "required" if keys.require_client_auth else "optional"
    return ServerParams(
        certificate=_own(keys),
        client_auth=asks,
        trust=() if keys.ca_cert_path is None else (keys.ca_cert_path,),
        protocols=keys.protocols or PROTOCOLS,
        revoked=() if keys.crl_path is None else (keys.crl_path,),
        others=tuple(map(_own, keys.certificates)),
        ciphers=keys.ciphers,
        alpn=() if isinstance(server, TcpServer) else ("http/1.1",),
    )


def _own(keys: ServerCertificate | ClientCertificate) -> OwnCertificate:
    return OwnCertificate(keys.cert_path, keys.key_path, keys.intermediate_certs_path, keys.passphrase_path)


def client_tls(keys: ApiTlsKeys | None) -> ClientTls | None:
    """The TLS that a `tls` section asks for, None when it asks for none."""
    if keys is None or not keys.enabled:
        return None
    own = None if keys.client_auth is None else _own(keys.client_auth)
    trust = keys.trust_certs if keys.trust_certs_bundle is None else (keys.trust_certs_bundle,)
    revoked = () if keys.crl_path is None else (keys.crl_path,)
    identity, agents = None, None
    if isinstance(keys, ClientTlsKeys):
        identity = keys.identity
        agents = None if keys.agents is None else Agents(keys.agents == "strict", keys.plain_if_refused)
    protocols = keys.protocols or (PROTOCOLS if agents is None else ("TLSv1.3",))
    by_name = keys.common_name is not None or identity is None
    context = ContextParams(not keys.disable_validation, trust, own, protocols, revoked, by_name)
    return ClientTls(keys.common_name, context, identity, agents)


def _admission(config: concurrency.AnyConcurrency | None) -> AdmissionParams | None:
    match config:
        case None:
            return None
        case concurrency.FixedConcurrency():
            limit: FixedParams | GradientParams = FixedParams(config.limit)
        case concurrency.GradientConcurrency():
            limit = GradientParams(config.min_limit, config.max_limit, config.initial_limit, config.tolerance)
    return AdmissionParams(limit, config.max_waiters, config.max_wait_ms / 1000)


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _limit(milliseconds: int | None) -> float:
    return math.inf if milliseconds is None else milliseconds / 1000
