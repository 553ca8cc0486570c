"""The section `client`."""

from __future__ import annotations

import pytest

from conf.balancing import P2c
from conf.client import ClientKeys, ClientParams, GlobalClient, StaticClient
from tests.conf.texts import router, router_problems


def test_what_is_not_set_is_none() -> None:
    assert router().client == GlobalClient()
    assert router("client: {loadBalancer: {kind: p2c}}").client == GlobalClient(load_balancer=P2c())


def test_configs_keep_their_order() -> None:
    policy = router("client: {kind: static, configs: [{prefix: /a, failFast: false}, {prefix: /}]}").client

    assert isinstance(policy, StaticClient)
    assert [config.fail_fast for config in policy.configs] == [False, None]


def test_what_is_set_lies_over_what_is_below() -> None:
    below = ClientParams(connect_timeout_ms=1, request_attempt_timeout_ms=2)

    assert ClientKeys(connect_timeout_ms=3).over(below, captured={}) == ClientParams(
        connect_timeout_ms=3, request_attempt_timeout_ms=2
    )


@pytest.mark.parametrize("policy", ["{socketOptions: {}}", "{kind: static, configs: [{prefix: /, socketOptions: {}}]}"])
def test_what_comes_later_is_refused_by_name(policy: str) -> None:
    (line,) = router_problems(f"client: {policy}")

    assert ".socketOptions: not provided yet (" in line
