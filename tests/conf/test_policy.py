"""Which policy holds for a name."""

from __future__ import annotations

import dataclasses

import pytest

from balancer.params import AccrualParams, BalancerParams, RetryBudgetParams
from conf import resolve
from conf.balancing import ApertureBalancer, ConsecutiveFailures, Ewma, P2c
from conf.classifiers import NonRetryable5XX, RetryableRead5XX
from conf.client import ClientParams, GlobalClient
from conf.hedging import Hedging
from conf.retries import FullJitterBackoff, JitteredBackoff, RetryBudget
from conf.service import GlobalService, ServiceParams
from namer.path import Path
from tests.conf.texts import router

CLIENT = """
client:
  kind: io.l5d.static
  configs:
  - prefix: /
    requestAttemptTimeoutMs: 1000
    loadBalancer: {kind: p2c}
  - prefix: /#/*/{service}
    hostConnectionPool: {maxSize: 7}
  - prefix: /#/io.l5d.fs/dog
    loadBalancer: {kind: aperture}
    hostConnectionPool: {minSize: 1}
  - prefix: /#/io.l5d.fs/dog/house
    requestAttemptTimeoutMs: 1
"""


@pytest.mark.parametrize(
    ("path", "timeout", "balancer", "pool"),
    [
        pytest.param("/$/inet/a/80", 1000, P2c(), (0, None), id="/ is all names"),
        pytest.param("/#/io.l5d.fs/cat", 1000, P2c(), (0, 7), id="* and a capture are any label"),
        pytest.param("/#/io.l5d.fs", 1000, P2c(), (0, None), id="but not none"),
        pytest.param(
            "/#/io.l5d.fs/dog", 1000, ApertureBalancer(), (1, None), id="the last that sets a key wins, whole"
        ),
        pytest.param("/#/io.l5d.fs/dogs", 1000, P2c(), (0, 7), id="a prefix ends with a label"),
        pytest.param("/#/io.l5d.fs/dog/house", 1, ApertureBalancer(), (1, None), id="all that match apply"),
    ],
)
def test_prefixes_apply_in_order(path: str, timeout: int, balancer: object, pool: tuple[int, int | None]) -> None:
    params = resolve(router(CLIENT).client, Path.parse(path))

    assert (params.request_attempt_timeout_ms, params.load_balancer) == (timeout, balancer)
    assert (params.host_connection_pool.min_size, params.host_connection_pool.max_size) == pool
    assert params.connect_timeout_ms == 3000


SERVICE = """
service:
  kind: io.l5d.static
  configs:
  - prefix: /svc
    totalTimeoutMs: 500
    retries: {budget: {percentCanRetry: 0.5}}
    responseClassifier: {kind: io.l5d.http.retryableRead5XX}
  - prefix: /svc/slow
    totalTimeoutMs: 5000
    retries: {backoff: {kind: jittered, minMs: 10, maxMs: 1000}}
"""


def test_retries_merge_by_budget_and_backoff() -> None:
    policy = router(SERVICE).service
    fast, slow = resolve(policy, Path.parse("/svc/fast")), resolve(policy, Path.parse("/svc/slow"))

    assert fast == ServiceParams(500, RetryableRead5XX(), RetryBudget(percent_can_retry=0.5))
    assert slow == dataclasses.replace(fast, total_timeout_ms=5000, retry_backoff=JitteredBackoff(10, 1000))


def test_hedging_merges_as_one_and_nothing_extra_ends_it() -> None:
    policy = router(
        "service: {kind: static, configs: [{prefix: /, hedging: {percentile: 99}}, {prefix: /a, hedging: {}},"
        " {prefix: /b, hedging: {maxExtraPercent: 0}}]}"
    ).service
    other, a, b = (resolve(policy, Path.parse(name)).hedging for name in ("/x", "/a", "/b"))

    assert (other, a, b) == (Hedging(percentile=99.0), Hedging(), Hedging(max_extra_percent=0.0))


def test_a_name_that_no_prefix_matches_has_the_defaults() -> None:
    assert resolve(router(SERVICE).service, Path.parse("/other")) == ServiceParams()


def test_one_policy_for_all_names() -> None:
    policy = router("service: {totalTimeoutMs: 5}\nclient: {kind: global, connectTimeoutMs: 6}")

    assert resolve(policy.service, Path.parse("/a")) == ServiceParams(total_timeout_ms=5)
    assert resolve(policy.client, Path.parse("/b")) == ClientParams(connect_timeout_ms=6)


def test_the_defaults_are_the_documented_ones() -> None:
    pause = FullJitterBackoff(25, 250)
    assert ServiceParams() == ServiceParams(None, NonRetryable5XX(), RetryBudget(10, 0.2, 10), pause, 5)
    assert ClientParams().load_balancer == Ewma(max_effort=5, decay_time_ms=10_000)
    assert ClientParams().failure_accrual == ConsecutiveFailures(failures=5)
    assert ClientParams().request_attempt_timeout_ms is None


def test_a_policy_that_spells_out_the_defaults_means_the_same() -> None:
    assert GlobalService.of(ServiceParams()).over(ServiceParams(total_timeout_ms=None)) == ServiceParams()
    assert GlobalClient.of(ClientParams()).over(ClientParams(), captured={}) == ClientParams()


def test_the_defaults_are_those_of_the_balancer() -> None:
    client = ClientParams()
    ewma, budget = client.load_balancer, client.requeue_budget
    assert isinstance(ewma, Ewma)
    assert isinstance(client.failure_accrual, ConsecutiveFailures)

    assert BalancerParams() == BalancerParams("ewma", ewma.max_effort, decay=ewma.decay_time_ms / 1000)
    assert AccrualParams() == AccrualParams("consecutiveFailures", failures=client.failure_accrual.failures)
    assert RetryBudgetParams() == RetryBudgetParams(
        budget.ttl_secs, budget.min_retries_per_sec, budget.percent_can_retry
    )


def test_the_aperture_has_the_balancers_defaults() -> None:
    ours = ApertureBalancer()

    assert BalancerParams("aperture") == BalancerParams(
        "aperture",
        ours.max_effort,
        smooth_window=ours.smooth_window_ms / 1000,
        low_load=ours.low_load,
        high_load=ours.high_load,
        min_aperture=ours.min_aperture,
    )
