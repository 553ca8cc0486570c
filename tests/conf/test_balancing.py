"""Balancers, failure accrual, pools."""

from __future__ import annotations

import pytest

from conf import resolve
from conf.balancing import (
    ApertureBalancer,
    ClientSession,
    ConsecutiveFailures,
    Ewma,
    HeapBalancer,
    HostConnectionPool,
    NoAccrual,
    P2c,
    RingHash,
    RoundRobinBalancer,
    SuccessRate,
    SuccessRateWindowed,
    ZonePreference,
)
from conf.client import ClientParams
from conf.retries import ConstantBackoff
from namer.path import Path
from tests.conf.texts import router, router_problems


def client(keys: str) -> ClientParams:
    return resolve(router(f"client: {{{keys}}}").client, Path(("x",)))


@pytest.mark.parametrize(
    ("keys", "balancer"),
    [
        pytest.param("", Ewma(), id="none given"),
        pytest.param("decayTimeMs: 1, maxEffort: 2", Ewma(decay_time_ms=1, max_effort=2), id="no kind given"),
        pytest.param("kind: p2c, enableProbation: false", P2c(), id="p2c"),
        pytest.param("kind: ringHash, header: X-User", RingHash(header="X-User"), id="by header"),
        pytest.param(
            "kind: ringHash, cookie: session, setCookie: true", RingHash(cookie="session", set_cookie=True), id="cookie"
        ),
        pytest.param("kind: heap", HeapBalancer(), id="heap"),
        pytest.param("kind: roundRobin, maxEffort: 3", RoundRobinBalancer(max_effort=3), id="round robin"),
        pytest.param(
            "kind: aperture, smoothWindowMs: 9, lowLoad: 1, highLoad: 3, minAperture: 4",
            ApertureBalancer(smooth_window_ms=9, low_load=1.0, high_load=3.0, min_aperture=4),
            id="aperture",
        ),
    ],
)
def test_balancers(keys: str, balancer: object) -> None:
    assert client(f"loadBalancer: {{{keys}}}").load_balancer == balancer


@pytest.mark.parametrize(
    ("keys", "accrual"),
    [
        pytest.param("kind: io.l5d.consecutiveFailures", ConsecutiveFailures(failures=5), id="the default number"),
        pytest.param(
            "kind: consecutiveFailures, failures: 1, backoff: {kind: constant, ms: 7}",
            ConsecutiveFailures(failures=1, backoff=ConstantBackoff(7)),
            id="with a backoff",
        ),
        pytest.param(
            "kind: io.l5d.successRate, successRate: 0.5, requests: 9",
            SuccessRate(success_rate=0.5, requests=9),
            id="by requests",
        ),
        pytest.param(
            "kind: io.l5d.successRateWindowed, successRate: 1, window: 9",
            SuccessRateWindowed(success_rate=1.0, window=9),
            id="by time",
        ),
        pytest.param("kind: none", NoAccrual(), id="never"),
    ],
)
def test_accrual(keys: str, accrual: object) -> None:
    assert client(f"failureAccrual: {{{keys}}}").failure_accrual == accrual


@pytest.mark.parametrize(
    ("keys", "preference"),
    [
        ("", None),
        ("zonePreference: {}", ZonePreference(None, 140)),
        ("zonePreference: {zone: eu-1a, overprovisioningPercent: 100}", ZonePreference("eu-1a", 100)),
    ],
)
def test_zones(keys: str, preference: ZonePreference | None) -> None:
    assert client(keys).zone_preference == preference


def test_connections() -> None:
    params = client("hostConnectionPool: {maxSize: 3}, clientSession: {lifeTimeMs: 4}")

    assert params.host_connection_pool == HostConnectionPool(0, 3, 30_000, None)
    assert params.client_session == ClientSession(None, 4)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        pytest.param(
            "loadBalancer: {kind: aperture, highLoad: 0.5}",
            "4:53: routers[0].client.loadBalancer.highLoad: 0.5 must be above lowLoad, 0.5",
            id="no band",
        ),
        pytest.param(
            "loadBalancer: {kind: aperture, lowLoad: 2}",
            "4:26: routers[0].client.loadBalancer.highLoad: 2 must be above lowLoad, 2",
            id="no band, by default",
        ),
        pytest.param(
            "loadBalancer: {kind: ringHash}",
            "4:26: routers[0].client.loadBalancer.header: ringHash needs a header or a cookie to go by",
            id="no key",
        ),
        pytest.param(
            "loadBalancer: {kind: ringHash, header: X-User, cookie: session}",
            "4:67: routers[0].client.loadBalancer.cookie: the key is the header X-User already; give only one of both",
            id="two keys",
        ),
        pytest.param(
            "loadBalancer: {kind: ringHash, header: X-User, setCookie: true}",
            "4:70: routers[0].client.loadBalancer.setCookie: there is no cookie to set; give its name as cookie",
            id="no cookie",
        ),
        pytest.param(
            "loadBalancer: {kind: ringHash, header: a}, zonePreference: {zone: a}",
            "4:71: routers[0].client.zonePreference: loadBalancer ringHash goes by its key, whatever the zone; "
            "leave one out",
            id="ring and zone",
        ),
        pytest.param(
            "hostConnectionPool: {minSize: 2, maxSize: 1}",
            "4:54: routers[0].client.hostConnectionPool.maxSize: 1 is less than minSize, 2",
            id="pool",
        ),
    ],
)
def test_what_cannot_stand_together(keys: str, line: str) -> None:
    assert router_problems(f"client: {{{keys}}}") == [f"l5d:{line}"]


def test_a_bad_value_contradicts_nothing() -> None:
    (line,) = router_problems("client: {loadBalancer: {kind: aperture, lowLoad: x, highLoad: 0.1}}")

    assert "lowLoad: expected a number" in line


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("loadBalancer: {kind: ringHash, cookie: 'a b'}", "the name of a cookie, such as session"),
        ("loadBalancer: {kind: ringHash, header: 'a:'}", "the name of a header, such as Host"),
        ("zonePreference: {overprovisioningPercent: 99}", "from 100 to 1000"),
        ("zonePreference: {zone: ''}", "zone"),
    ],
)
def test_values_out_of_range(keys: str, message: str) -> None:
    (line,) = router_problems(f"client: {{{keys}}}")

    assert message in line
