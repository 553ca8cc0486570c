"""Retry budgets and backoffs."""

from __future__ import annotations

import pytest

from conf.retries import ConstantBackoff, FullJitterBackoff, JitteredBackoff, Retries, RetryBudget
from conf.service import GlobalService
from tests.conf.texts import router, router_problems


@pytest.mark.parametrize(
    ("keys", "retries"),
    [
        pytest.param("{}", Retries(), id="nothing set"),
        pytest.param("{budget: {}}", Retries(budget=RetryBudget(10, 0.2, 10)), id="a budget of defaults"),
        pytest.param("{budget: {percentCanRetry: 1000, ttlSecs: 1}}", Retries(RetryBudget(10, 1000.0, 1)), id="budget"),
        pytest.param("{backoff: {kind: constant}}", Retries(backoff=ConstantBackoff(0)), id="constant"),
        pytest.param(
            "{backoff: {kind: jittered, minMs: 5, maxMs: 5}}", Retries(backoff=JitteredBackoff(5, 5)), id="jittered"
        ),
        pytest.param("{backoff: {kind: fullJitter}}", Retries(backoff=FullJitterBackoff(25, 250)), id="full jitter"),
        pytest.param(
            "{backoff: {kind: fullJitter, maxMs: 9, minMs: 3}}", Retries(backoff=FullJitterBackoff(3, 9)), id="shorter"
        ),
        pytest.param("{maxPerRequest: 0}", Retries(max_per_request=0), id="none"),
    ],
)
def test_retries(keys: str, retries: Retries) -> None:
    assert router(f"service: {{retries: {keys}}}").service == GlobalService(retries=retries)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        pytest.param(
            "{backoff: {kind: jittered, minMs: 6, maxMs: 5}}",
            "4:66: routers[0].service.retries.backoff.maxMs: 5 is less than minMs, 6",
            id="longest below shortest",
        ),
        pytest.param(
            "{backoff: {kind: fullJitter, minMs: 251}}",
            "4:32: routers[0].service.retries.backoff.maxMs: 250 is less than minMs, 251",
            id="longest by default below shortest",
        ),
        pytest.param(
            "{backoff: {ms: 6}}",
            "4:32: routers[0].service.retries.backoff.kind: missing; expected one of constant, jittered, fullJitter",
            id="no kind",
        ),
        pytest.param(
            "{maxPerRequest: -1}",
            "4:38: routers[0].service.retries.maxPerRequest: -1 is out of range; "
            "expected a whole number from 0 to 2147483647",
            id="less than none",
        ),
        pytest.param(
            "{budget: {percentCanRetry: 1001}}",
            "4:49: routers[0].service.retries.budget.percentCanRetry: 1001 is out of range; "
            "expected a number from 0 to 1000",
            id="too many",
        ),
    ],
)
def test_what_is_wrong(keys: str, line: str) -> None:
    assert router_problems(f"service: {{retries: {keys}}}") == [f"l5d:{line}"]
