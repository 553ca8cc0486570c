"""Parameters: defaults, refusals, and what is made of them."""

from collections.abc import Callable
from random import Random
from typing import get_args

import pytest

from balancer.accrual import Health
from balancer.params import (
    AccrualKind,
    AccrualParams,
    BalancerKind,
    BalancerParams,
    RetryBudgetParams,
    make_accrual,
    make_balancer,
    make_retry_budget,
)
from balancer.response_class import ResponseClass
from tests.balancer.farm import endpoints


def test_peak_ewma_is_the_default() -> None:
    assert BalancerParams().kind == "ewma"


@pytest.mark.parametrize("kind", get_args(BalancerKind))
def test_every_kind_of_balancer_serves(kind: BalancerKind) -> None:
    balancer = make_balancer(BalancerParams(kind=kind), AccrualParams(), Random(1))
    balancer.update(endpoints(5), 0.0)
    for tick in range(100):
        node = balancer.pick(float(tick))
        assert node is not None
        balancer.begin(node, float(tick))
        balancer.end(node, float(tick), tick + 0.5, ResponseClass.SUCCESS)
    assert balancer.statistics().alive == 5


@pytest.mark.parametrize(("kind", "dies"), [(kind, kind != "none") for kind in get_args(AccrualKind)])
def test_every_kind_of_accrual_sees_an_endpoint_that_only_fails(kind: AccrualKind, dies: bool) -> None:
    accrual = make_accrual(AccrualParams(kind=kind), Random(1))
    for tick in range(30):
        accrual.record(ResponseClass.FAILURE, float(tick), float(tick))
    assert (accrual.health is Health.DEAD) is dies


@pytest.mark.parametrize(("kind", "dies"), [(kind, kind != "none") for kind in get_args(AccrualKind)])
def test_a_refusal_is_enough_for_every_kind_of_accrual_but_none(kind: AccrualKind, dies: bool) -> None:
    accrual = make_accrual(AccrualParams(kind=kind), Random(1))
    accrual.record(ResponseClass.REFUSED, 0.0, 0.0)
    assert (accrual.health is Health.DEAD) is dies


def test_an_endpoint_that_refuses_is_tried_after_1_2_4_to_32_seconds() -> None:
    accrual = make_accrual(AccrualParams(), Random(1))
    now = 0.0
    for low, high in [(1, 1), (1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 32), (32, 32)]:
        accrual.record(ResponseClass.REFUSED, now, now)
        assert low <= round(accrual.retry_at - now, 6) <= high
        now = accrual.retry_at
        accrual.begin_probe(now)


def test_the_default_budget_starts_with_a_hundred_retries() -> None:
    assert make_retry_budget(RetryBudgetParams()).balance(0.0) == 100


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BalancerParams(max_effort=0), "max_effort must be above 0, not 0"),
        (lambda: BalancerParams(decay=0.0), "decay must be above 0"),
        (lambda: BalancerParams(decay=float("nan")), "decay must be above 0"),
        (lambda: BalancerParams(smooth_window=-1.0), "smooth_window must be above 0"),
        (lambda: BalancerParams(low_load=2.0, high_load=2.0), "high_load must be above 2.0, not 2.0"),
        (lambda: BalancerParams(min_aperture=0), "min_aperture must be above 0"),
        (lambda: AccrualParams(failures=0), "failures must be above 0"),
        (lambda: AccrualParams(requests=0), "requests must be above 0"),
        (lambda: AccrualParams(window=0.0), "window must be above 0"),
        (lambda: AccrualParams(success_rate=1.1), "success_rate must be within 0 and 1, not 1.1"),
        (lambda: RetryBudgetParams(ttl=0.5), "ttl must be within 1 and 60"),
        (lambda: RetryBudgetParams(min_per_sec=-1), "min_per_sec must be within 0"),
        (lambda: RetryBudgetParams(percent_can_retry=1001.0), "percent_can_retry must be within 0 and 1000"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("params", "health"),
    [
        pytest.param(AccrualParams(), "dead", id="by default"),
        pytest.param(AccrualParams(fail_fast=False), "alive", id="turned off"),
        pytest.param(AccrualParams(kind="none"), "alive", id="nothing is ever avoided"),
    ],
)
def test_whether_one_refusal_is_enough(params: AccrualParams, health: str) -> None:
    accrual = make_accrual(params, Random(1))

    accrual.record(ResponseClass.REFUSED, 0.0, 0.1)

    assert accrual.health.value == health
