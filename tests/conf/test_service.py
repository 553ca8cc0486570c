"""The section `service`."""

from __future__ import annotations

from conf.retries import ConstantBackoff, Retries, RetryBudget
from conf.service import GlobalService, ServiceKeys, ServiceParams, StaticService
from tests.conf.texts import router


def test_what_is_not_set_is_none() -> None:
    assert router().service == GlobalService()
    assert router("service: {kind: io.l5d.global, totalTimeoutMs: 5}").service == GlobalService(total_timeout_ms=5)


def test_configs_keep_their_order() -> None:
    policy = router("service: {kind: static, configs: [{prefix: /a, totalTimeoutMs: 1}, {prefix: /}]}").service

    assert isinstance(policy, StaticService)
    assert [config.total_timeout_ms for config in policy.configs] == [1, None]


def test_what_is_set_lies_over_what_is_below() -> None:
    below = ServiceParams(total_timeout_ms=1, retry_backoff=ConstantBackoff(9), max_retries=2)
    keys = ServiceKeys(retries=Retries(budget=RetryBudget(ttl_secs=2)))

    assert keys.over(below) == ServiceParams(
        total_timeout_ms=1, retry_backoff=ConstantBackoff(9), retry_budget=RetryBudget(ttl_secs=2), max_retries=2
    )
    assert ServiceKeys(retries=Retries(max_per_request=0)).over(below).max_retries == 0
