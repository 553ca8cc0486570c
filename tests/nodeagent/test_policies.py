"""Configuration becomes the values that the route works with; milliseconds become seconds."""

from __future__ import annotations

import math
import random
from ipaddress import ip_network
from itertools import islice

import pytest

import conf
from balancer.checks import CheckSchedule
from balancer.hedge import HedgeParams
from balancer.limiter import AdmissionParams, FixedParams, GradientParams
from balancer.params import AccrualParams, BalancerParams, RetryBudgetParams
from balancer.zones import ZoneParams
from conf.router import HttpRouter
from namer.path import Path
from nodeagent import policies
from nodeagent.proxy.affinity import Affinity, ByCookie, ByHeader
from nodeagent.proxy.checks import CheckParams, HttpCheck
from nodeagent.proxy.errors import BadRequest
from nodeagent.proxy.guard import GuardPolicy
from nodeagent.proxy.messages import RequestHead
from nodeagent.proxy.pool import PoolLimits

WEB = Path.parse("/#/io.l5d.fs/web")


def router(keys: str) -> HttpRouter:
    text = f"routers:\n- protocol: http\n  servers: [{{port: 0}}]\n{keys}"
    (one,) = conf.load(text, "test").routers
    assert isinstance(one, HttpRouter)
    return one


def test_the_defaults() -> None:
    config = router("")
    client = policies.client_policy(config.client, WEB)
    service = policies.service_policy(config.service, Path.parse("/svc/web"))

    assert client.balancer == BalancerParams("ewma")
    assert (client.accrual.kind, client.accrual.failures) == ("consecutiveFailures", 5)
    assert client.pool == PoolLimits(idle_time=30.0, max_wait=client.connect_timeout)
    assert (client.connect_timeout, client.attempt_timeout, service.total_timeout) == (3.0, None, None)
    assert service.budget == client.requeues == RetryBudgetParams(10, 10, 0.2)
    assert service.retry_methods == frozenset()
    assert service.hedging is None
    assert service.max_retries == 5
    pauses = [list(islice(service.backoffs(random.Random(seed)), 6)) for seed in range(100)]
    longest = [max(pause) for pause in zip(*pauses, strict=True)]
    assert longest == [pytest.approx(cap, rel=0.1) for cap in (0.025, 0.05, 0.1, 0.2, 0.25, 0.25)]
    assert all(pause <= 0.25 for each in pauses for pause in each)


@pytest.mark.parametrize(
    ("keys", "params"),
    [
        ("{kind: ewma, decayTimeMs: 2500, maxEffort: 3}", BalancerParams("ewma", 3, decay=2.5)),
        ("{kind: p2c}", BalancerParams("p2c", choices=2)),
        ("{kind: ewma, choices: 5}", BalancerParams("ewma", choices=5)),
        ("{kind: heap}", BalancerParams("heap")),
        ("{kind: roundRobin, maxEffort: 2}", BalancerParams("roundRobin", 2)),
        (
            "{kind: aperture, smoothWindowMs: 1500, lowLoad: 0.3, highLoad: 3.0, minAperture: 4}",
            BalancerParams("aperture", smooth_window=1.5, low_load=0.3, high_load=3.0, min_aperture=4),
        ),
    ],
)
def test_balancers(keys: str, params: BalancerParams) -> None:
    config = router(f"  client: {{loadBalancer: {keys}}}")

    assert policies.client_policy(config.client, WEB).balancer == params


@pytest.mark.parametrize(
    ("keys", "affinity"),
    [
        ("header: X-User", ByHeader(b"x-user")),
        ("cookie: Session", ByCookie(b"Session")),
        ("cookie: session, setCookie: true", ByCookie(b"session", sets=True)),
    ],
)
def test_affinity(keys: str, affinity: Affinity) -> None:
    config = router(f"  client: {{loadBalancer: {{kind: ringHash, {keys}}}}}")
    client = policies.client_policy(config.client, WEB)

    assert (client.balancer, client.affinity) == (BalancerParams("ringHash", choices=2), affinity)


@pytest.mark.parametrize(
    ("keys", "of_the_host", "zones"),
    [
        ("", "b", None),
        ("zonePreference: {zone: a}", None, ZoneParams("a", 1.4)),
        ("zonePreference: {zone: a}", "b", ZoneParams("a", 1.4)),
        ("zonePreference: {overprovisioningPercent: 200}", "b", ZoneParams("b", 2.0)),
        ("zonePreference: {}", None, None),
    ],
)
def test_zones(keys: str, of_the_host: str | None, zones: ZoneParams | None) -> None:
    config = router(f"  client: {{{keys}}}")

    assert policies.client_policy(config.client, WEB, of_the_host).balancer == BalancerParams(zones=zones)


@pytest.mark.parametrize(
    ("keys", "params"),
    [
        ("{kind: io.l5d.consecutiveFailures, failures: 3}", AccrualParams(failures=3)),
        (
            "{kind: io.l5d.successRate, successRate: 0.9, requests: 30}",
            AccrualParams("successRate", success_rate=0.9, requests=30),
        ),
        (
            "{kind: io.l5d.successRateWindowed, successRate: 0.9, window: 60}",
            AccrualParams("successRateWindowed", success_rate=0.9, window=60),
        ),
        ("{kind: none}", AccrualParams("none")),
    ],
)
def test_accruals(keys: str, params: AccrualParams) -> None:
    config = router(f"  client: {{failureAccrual: {keys}}}")

    assert policies.client_policy(config.client, WEB).accrual == params


@pytest.mark.parametrize(
    ("keys", "params"),
    [
        ("{kind: none}", None),
        ("{kind: tcp}", CheckParams(CheckSchedule(5.0, 2, 3), 2.0, None, None)),
        ("{kind: http}", CheckParams(CheckSchedule(5.0, 2, 3), 2.0, None, HttpCheck("/", "GET", None, (200, 399)))),
        (
            "{kind: http, path: /h, method: HEAD, host: x, expect: '204', port: 9, intervalMs: 500, rise: 1, fall: 4}",
            CheckParams(CheckSchedule(0.5, 1, 4), 0.5, 9, HttpCheck("/h", "HEAD", "x", (204, 204))),
        ),
    ],
)
def test_health_checks(keys: str, params: CheckParams | None) -> None:
    config = router(f"  client: {{healthCheck: {keys}}}")

    assert policies.client_policy(config.client, WEB).check == params


def test_pools_and_sessions() -> None:
    config = router(
        "  client: {hostConnectionPool: {minSize: 1, maxSize: 5, idleTimeMs: 60000, maxWaiters: 9, maxWaitMs: 70},"
        " clientSession: {idleTimeMs: 20000, lifeTimeMs: 90000}}"
    )

    assert policies.client_policy(config.client, WEB).pool == PoolLimits(1, 5, 9, 20.0, 90.0, 0.07)


@pytest.mark.parametrize(
    ("keys", "params"),
    [
        ("{limit: 10}", AdmissionParams(FixedParams(10))),
        ("{limit: 10, maxWaiters: 5, maxWaitMs: 250}", AdmissionParams(FixedParams(10), 5, 0.25)),
        (
            "{kind: gradient, minLimit: 2, initialLimit: 3, maxLimit: 4, tolerance: 2.0}",
            AdmissionParams(GradientParams(2, 4, 3, 2.0)),
        ),
        ("{kind: gradient}", AdmissionParams(GradientParams())),
    ],
)
def test_concurrency(keys: str, params: AdmissionParams) -> None:
    config = router(f"  service: {{concurrency: {keys}}}")

    assert policies.service_policy(config.service, WEB).admission == params
    assert policies.service_policy(router("").service, WEB).admission is None


def test_retries() -> None:
    config = router(
        "  service: {totalTimeoutMs: 1500, responseClassifier: {kind: io.l5d.http.retryableRead5XX}, retries:"
        " {budget: {minRetriesPerSec: 5, percentCanRetry: 0.5, ttlSecs: 15}, backoff: {kind: constant, ms: 20}}}"
    )
    policy = policies.service_policy(config.service, Path.parse("/svc/web"))

    assert policy.total_timeout == 1.5
    assert policy.budget == RetryBudgetParams(15, 5, 0.5)
    assert b"GET" in policy.retry_methods
    assert list(islice(policy.backoffs(random.Random(1)), 3)) == [0.02, 0.02, 0.02]


@pytest.mark.parametrize(
    ("keys", "params"),
    [
        ("{}", HedgeParams(95.0, 0.05, 0.001)),
        ("{percentile: 99.9, maxExtraPercent: 0.2, minDelayMs: 0}", HedgeParams(99.9, 0.002, 0.0)),
        ("{maxExtraPercent: 0}", None),
    ],
)
def test_hedging(keys: str, params: HedgeParams | None) -> None:
    config = router(f"  service: {{hedging: {keys}}}")

    assert policies.service_policy(config.service, Path.parse("/svc/web")).hedging == params


def test_the_policy_of_one_prefix() -> None:
    config = router(
        "  client:\n    kind: io.l5d.static\n    configs:\n"
        "    - {prefix: /, requestAttemptTimeoutMs: 100}\n    - {prefix: /#/io.l5d.fs/web, connectTimeoutMs: 50}"
    )

    web, other = (policies.client_policy(config.client, path) for path in (WEB, Path.parse("/#/io.l5d.fs/x")))

    assert (web.attempt_timeout, web.connect_timeout) == (0.1, 0.05)
    assert (other.attempt_timeout, other.connect_timeout) == (0.1, 3.0)


def test_what_a_listener_takes() -> None:
    config = router("  maxHeadersKB: 16\n  maxInitialLineKB: 2")
    limits = policies.server_limits(config, config.servers[0])
    session = conf.load(
        "routers: [{protocol: http, servers: [{port: 0, maxConcurrentRequests: 3, maxCallDepth: 7, serverSession:"
        " {idleTimeMs: 1000, lifeTimeMs: 2000, streamIdleTimeMs: 3000}}]}]",
        "test",
    ).routers[0]
    limited = policies.server_limits(session, session.servers[0])

    assert (limits.head, limits.line, limits.concurrent, limits.life) == (16384, 2048, math.inf, math.inf)
    assert (limited.concurrent, limited.call_depth, limited.idle, limited.life) == (3, 7, 1.0, 2.0)
    assert (limits.stream_idle, limited.stream_idle) == (300.0, 3.0)


def test_the_list_of_identifiers_is_tried_in_order() -> None:
    config = router("  dstPrefix: /http\n  identifier: [{kind: io.l5d.header}, {kind: io.l5d.static, path: /x}]")
    name = policies.identifier(config)

    assert name(RequestHead(b"GET", b"a", b"/", 11, b"l5d-name: /b/c\r\n", {})).show() == "/http/b/c"
    assert name(RequestHead(b"GET", b"a", b"/", 11, b"", {})).show() == "/http/x"


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ("{kind: io.l5d.header.token}", "/svc/web"),
        ("{kind: io.l5d.path, segments: 2}", "/svc/a/b"),
        ("{kind: io.l5d.methodAndHost}", "/svc/1.1/GET/web"),
    ],
)
def test_each_identifier_can_be_configured(keys: str, name: str) -> None:
    identify = policies.identifier(router(f"  identifier: {keys}"))

    assert identify(RequestHead(b"GET", b"Web", b"/a/b/c", 11, b"", {})).show() == name


def test_nobody_identifies() -> None:
    identify = policies.identifier(router("  identifier: {kind: io.l5d.header.token, header: my-svc}"))

    with pytest.raises(BadRequest):
        identify(RequestHead(b"GET", b"a", b"/", 11, b"", {}))


def test_names_with_the_same_policy_share_its_values() -> None:
    config = router(
        "  client:\n    kind: io.l5d.static\n    configs: [{prefix: /#/io.l5d.fs/web, connectTimeoutMs: 50}]\n"
    )
    web, one, other = (
        policies.client_policy(config.client, Path.parse(f"/#/io.l5d.fs/{name}")) for name in ["web", "a", "b"]
    )
    first, second = (policies.service_policy(config.service, Path.parse(name)) for name in ("/svc/a", "/svc/b"))

    assert one is other
    assert first is second
    assert (web.connect_timeout, one.connect_timeout) == (0.05, 3.0)


def test_the_address_guard() -> None:
    keys = "  addressGuard: {enabled: false, allow: ['::1'], deny: [10.0.0.0/8], denyPorts: [22], discovery: true}\n"

    assert policies.guard_policy(router("").address_guard) == GuardPolicy()
    assert policies.guard_policy(router(keys).address_guard) == GuardPolicy(
        enabled=False,
        allow=(ip_network("::1"),),
        deny=(ip_network("10.0.0.0/8"),),
        deny_ports=(22,),
        discovery=True,
    )
