"""What of a configuration is divided among the workers."""

from __future__ import annotations

import pytest

import conf
from balancer.limiter import AdmissionParams, FixedParams, GradientParams
from namer.path import Path
from nodeagent import policies
from nodeagent.workers.shares import part, share_of

TEXT = """
workers: 4
memoryLimitMB: 1000
routers:
- protocol: http
  label: out
  servers: [{port: 0, maxConcurrentRequests: 100}, {port: 0}]
  service: {concurrency: {limit: 10, maxWaiters: 3}}
  client:
    kind: io.l5d.static
    configs:
    - {prefix: /, hostConnectionPool: {maxSize: 9, maxWaiters: 40}}
    - {prefix: /x, connectTimeoutMs: 100}
- protocol: http
  label: in
  servers: [{port: 4141}]
  service: {concurrency: {kind: gradient}}
"""


def shared(text: str = TEXT) -> conf.AgentConfig:
    return share_of(conf.load(text, "test"), 4, [[4001, 4002], [4141]], 200)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(100, 25), (10, 2), (3, 1), (1, 1), (0, 0), (None, None)],
    ids=["even", "rounded down, so that the whole is not exceeded", "one each", "one", "none allowed", "no limit"],
)
def test_a_part(limit: int | None, expected: int | None) -> None:
    assert part(limit, 4) == expected


def test_limits_are_divided() -> None:
    out, into = shared().routers
    fixed, learnt = (policies.service_policy(router.service, router.dst_prefix).admission for router in (out, into))

    assert [server.max_concurrent_requests for server in out.servers] == [25, None]
    assert fixed == AdmissionParams(FixedParams(2), max_waiters=1)
    assert learnt == AdmissionParams(GradientParams(min_limit=1, max_limit=250, initial_limit=5))


def test_pools_are_divided_whatever_policy_they_stand_in() -> None:
    pool = policies.client_policy(shared().routers[0].client, Path(("x",))).pool

    assert (pool.max_size, pool.max_waiters) == (2, 10)


def test_what_is_no_limit_for_the_whole_stays() -> None:
    config, before = shared(), conf.load(TEXT, "test")

    assert config.routers[0].client.configs[1] == before.routers[0].client.configs[1]  # type: ignore[union-attr]
    assert config.namers == before.namers
    assert config.origins == before.origins


def test_ports_and_memory_are_as_the_supervisor_says() -> None:
    config = shared()

    assert [[server.port for server in router.servers] for router in config.routers] == [[4001, 4002], [4141]]
    assert config.memory_limit_mb == 200
