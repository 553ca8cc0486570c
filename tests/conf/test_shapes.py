"""Configurations of the shapes of linkerd 1.x's own examples load; so do this project's examples."""

from __future__ import annotations

import pathlib

import pytest

import conf
from conf.balancing import P2c, SuccessRate
from conf.classifiers import RetryableIdempotent5XX
from conf.identifiers import UrlPathIdentifier
from conf.interpreters import FsInterpreter
from conf.namers import RewriteNamer
from conf.retries import JitteredBackoff, RetryBudget
from conf.router import HttpRouter
from conf.tls import ClientTlsKeys
from namer.path import Path
from tests.conf.texts import problems

SHAPES = {
    "http": """
namers:
- kind: io.l5d.fs
  rootDir: disco
routers:
- protocol: http
  label: front
  identifier:
    kind: io.l5d.methodAndHost
    httpUriInDst: true
  dtab: |
    /shelf           => /#/io.l5d.fs;
    /shelf/localhost => /shelf/default;
    /verb            => /$/io.buoyant.http.anyMethodPfx/shelf;
    /svc/1.1         => /verb;
  maxHeadersKB: 16
  maxInitialLineKB: 8
  servers:
  - port: 4140
    ip: 0.0.0.0
    addForwardedHeader:
      by: {kind: "ip:port"}
      for: {kind: ip}
""",
    "fs": """
namers:
- kind: io.l5d.fs
  rootDir: disco
routers:
- protocol: http
  interpreter:
    kind: io.l5d.fs
    dtabFile: rules.dtab
  servers:
  - port: 4140
""",
    "proxy": """
namers: []
routers:
- protocol: http
  dtab: |
    /byport => /$/io.buoyant.rinet ;
    /svc    => /byport/80 ;
    /svc    => /$/io.buoyant.porthostPfx/byport ;
  servers:
  - port: 4140
  client:
    kind: io.l5d.static
    configs:
    - prefix: /$/io.buoyant.rinet/443/{hostname}
      tls: {commonName: "{hostname}"}
""",
    "retries": """
namers:
- kind: io.l5d.fs
  rootDir: disco
routers:
- protocol: http
  dtab: /svc/* => /#/io.l5d.fs/red & /#/io.l5d.fs/blue
  service:
    responseClassifier: {kind: io.l5d.http.retryableIdempotent5XX}
    retries:
      budget: {minRetriesPerSec: 3, percentCanRetry: 0.4, ttlSecs: 12}
      backoff: {kind: jittered, minMs: 20, maxMs: 2000}
    totalTimeoutMs: 900
  client:
    kind: io.l5d.static
    configs:
    - prefix: /#/io.l5d.fs/red
      requestAttemptTimeoutMs: 90
    - prefix: /#/io.l5d.fs/blue
      requestAttemptTimeoutMs: 180
  servers:
  - port: 4140
""",
    "loadbalancer": """
namers:
- kind: io.l5d.fs
  rootDir: disco
routers:
- protocol: http
  dtab: /svc => /#/io.l5d.fs
  servers:
  - port: 4140
    maxConcurrentRequests: 5000
  client:
    loadBalancer: {kind: p2c, maxEffort: 8}
    hostConnectionPool: {minSize: 0, maxSize: 500, idleTimeMs: 20000, maxWaiters: 2000}
    failureAccrual:
      kind: io.l5d.successRate
      successRate: 0.8
      requests: 500
      backoff: {kind: jittered, minMs: 4000, maxMs: 200000}
""",
    "static-policy": """
routers:
- protocol: http
  label: policies
  dtab: /svc => /#/io.l5d.fs
  service:
    kind: io.l5d.static
    configs:
    - prefix: /svc
      totalTimeoutMs: 400
    - prefix: /svc/report
      totalTimeoutMs: 4000
      retries: {budget: {percentCanRetry: 0.1}}
  client:
    kind: io.l5d.static
    configs:
    - prefix: /
      loadBalancer: {kind: ewma}
    - prefix: /#/*/{service}
      failFast: false
      hostConnectionPool: {maxSize: 10}
  servers:
  - port: 4140
""",
    "rewriting": """
namers:
- kind: io.l5d.fs
  rootDir: disco
- kind: io.l5d.rewrite
  prefix: /unwrap
  pattern: "/{service}/v1"
  name: "/shelf/{service}"
routers:
- protocol: http
  identifier:
    kind: io.l5d.path
    segments: 2
  dtab: |
    /shelf => /#/io.l5d.fs ;
    /svc   => /#/unwrap ;
  servers:
  - port: 4140
""",
    "everything": """
admin:
  ip: 0.0.0.0
  port: 9991
  shutdownGraceMs: 3000
  security: {uiEnabled: false, controlEnabled: false, pathWhitelist: ["^/admin/shutdown$"], pathBlacklist: ["^/x"]}
usage: {enabled: false, orgId: us}
telemetry:
- kind: io.l5d.prometheus
  path: /prometheus
  prefix: mesh_
namers:
- {kind: fs, rootDir: disco, experimental: true}
routers:
- protocol: http
  label: edge
  dstPrefix: /edge
  originator: true
  experimental: true
  bindingTimeoutMs: 2000
  bindingCache: {paths: 10, trees: 10, bounds: 10, clients: 10, idleTtlSecs: 60}
  identifier: [{kind: io.l5d.header, header: x-name}, {kind: io.l5d.header.token}, {kind: static, path: /default}]
  maxErrResponseKB: 10
  streamingEnabled: true
  streamAfterContentLengthKB: 5
  compressionLevel: 0
  tracePropagator: {kind: io.l5d.zipkin}
  servers:
  - port: 0
    label: front
    clearContext: true
    timestampHeader: x-arrived
    maxCallDepth: 20
    addForwardedHeader: {by: {kind: static, label: edge}, for: {kind: connectionRandom}}
    serverSession: {idleTimeMs: 60000, lifeTimeMs: 600000}
    socketOptions: {noDelay: false, reuseAddr: true, reusePort: true, keepAlive: true, backlog: 128}
  client:
    failureAccrual: {kind: io.l5d.successRateWindowed, successRate: 0.9, window: 30}
    requeueBudget: {percentCanRetry: 0.5}
    clientSession: {idleTimeMs: 1000, lifeTimeMs: 2000}
    connectTimeoutMs: 500
""",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in SHAPES.items()])
def test_a_shape_of_linkerd_loads(text: str) -> None:
    assert problems(text) == []


def test_fs() -> None:
    router = conf.load(SHAPES["fs"], "l5d").routers[0]

    assert router.interpreter == FsInterpreter(dtab_file="rules.dtab")


def test_retries() -> None:
    router = conf.load(SHAPES["retries"], "l5d").routers[0]
    service = conf.resolve(router.service, Path.parse("/svc/any"))

    assert (service.total_timeout_ms, service.response_classifier) == (900, RetryableIdempotent5XX())
    assert (service.retry_budget, service.retry_backoff) == (RetryBudget(3, 0.4, 12), JitteredBackoff(20, 2000))
    assert [
        conf.resolve(router.client, Path.parse(f"/#/io.l5d.fs/{name}")).request_attempt_timeout_ms
        for name in ("red", "blue", "green")
    ] == [90, 180, None]


def test_loadbalancer() -> None:
    router = conf.load(SHAPES["loadbalancer"], "l5d").routers[0]
    client = conf.resolve(router.client, Path.parse("/#/io.l5d.fs/web"))

    assert client.load_balancer == P2c(max_effort=8)
    assert client.failure_accrual == SuccessRate(
        success_rate=0.8, requests=500, backoff=JitteredBackoff(min_ms=4000, max_ms=200_000)
    )


def test_rewriting() -> None:
    config = conf.load(SHAPES["rewriting"], "l5d")

    (router,) = config.routers
    assert isinstance(router, HttpRouter)
    assert router.identifier == (UrlPathIdentifier(segments=2),)
    assert config.namers[1] == RewriteNamer(prefix=Path(("unwrap",)), pattern="/{service}/v1", name="/shelf/{service}")


def test_proxy() -> None:
    router = conf.load(SHAPES["proxy"], "l5d").routers[0]
    by_port = {
        port: conf.resolve(router.client, Path.parse(f"/$/io.buoyant.rinet/{port}/example.org")).tls
        for port in (80, 443)
    }

    assert by_port == {80: None, 443: ClientTlsKeys(common_name="example.org")}


ROUTES = pathlib.Path(__file__).parents[2] / "examples/routes.yaml"  # a table of requests, no configuration
EXAMPLES = sorted(set((pathlib.Path(__file__).parents[2] / "examples").glob("*.yaml")) - {ROUTES})


@pytest.mark.parametrize("example", [pytest.param(path, id=path.stem) for path in EXAMPLES])
def test_the_examples_of_this_project_load(example: pathlib.Path) -> None:
    conf.read(str(example))
