"""The two experiments with which linkerd's makers argued for balancing by latency, in virtual time.

https://linkerd.io/2016/03/16/beyond-round-robin-load-balancing-for-latency/ : of 11 endpoints one takes 2 s instead of
167 ms for 30 of 60 seconds, at 1,000 requests a second whose callers wait for 1 s. Published: about 95 % of the callers
did not notice with round robin, 99 % with least loaded, 99.9 % with peak EWMA.

https://linkerd.io/2017/02/01/making-things-faster-by-adding-more-steps/ : ten endpoints that take from 0 to 2 s, of
which the two slowest often fail, at 500 requests a second. Published: 88 % success and 86, 1739 and 2100 ms (p50, 95,
99) with round robin; 100 % and 42, 604 and 734 ms with peak EWMA, failure accrual and retries.
"""

from __future__ import annotations

from functools import cache

import pytest

from balancer.backoff import ConstantBackoff
from balancer.hedge import HedgeParams
from balancer.params import AccrualParams, BalancerKind
from tests.balancer.experiment import Experiment, flaky, normal, slow
from tests.balancer.farm import IMMORTAL, balancer

BREAKER = AccrualParams("successRate", success_rate=0.9, requests=20, backoff=ConstantBackoff(10.0))
P95 = HedgeParams()
P999 = HedgeParams(percentile=99.9, max_extra=0.002)


@cache
def one_turns_slow(
    kind: BalancerKind, hedging: HedgeParams | None = None, accrual: AccrualParams = IMMORTAL
) -> Experiment:
    """The first experiment. As published, without accrual; with it, it is about what callers give up."""
    servers = {port: normal(0.167, 0.005, seed=port) for port in range(11)}
    servers[0] = slow(servers[0], 15.0, 45.0, 2.0)
    pool = balancer(11, kind, accrual, max_ejected=0.5)
    return Experiment(pool, servers, patience=1.0, hedging=hedging).run(1000, 60)


@cache
def ten_of_all_sorts(kind: BalancerKind, accrual: AccrualParams = IMMORTAL, retries: int = 0) -> Experiment:
    """The second experiment."""
    latencies = (0.0, 0.010, 0.020, 0.040, 0.080, 0.160, 0.320, 0.640)
    servers = {port: flaky(latency, 1.0, seed=port) for port, latency in enumerate(latencies)}
    servers |= {8: flaky(1.0, 0.6, seed=8), 9: flaky(2.0, 0.4, seed=9)}
    return Experiment(balancer(10, kind, accrual), servers, retries=retries).run(500, 60)


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        pytest.param("roundRobin", 0.952, 0.957, id="round robin: its share of half of the time"),
        pytest.param("heap", 0.989, 0.994, id="least loaded: what piles up there stands for what is slow"),
        pytest.param("p2c", 0.988, 0.994, id="two choices by load come close"),
        pytest.param("ewma", 0.999, 0.9995, id="peak EWMA: but for the first, and a look now and then"),
    ],
)
def test_how_many_callers_do_not_notice_that_one_turns_slow(kind: BalancerKind, least: float, most: float) -> None:
    assert least <= one_turns_slow(kind).success <= most


def test_by_load_is_better_than_in_turns() -> None:
    assert one_turns_slow("roundRobin").success < one_turns_slow("p2c").success
    assert one_turns_slow("roundRobin").success < one_turns_slow("heap").success


def test_by_latency_with_the_default_accrual_what_callers_give_up_is_enough_to_stay_away() -> None:
    """At the least 15 or 16 of 60,000 are on their way to it before anybody can know: 99.97 %."""
    guarded = one_turns_slow("ewma", accrual=AccrualParams())

    assert guarded.success >= 0.9996
    assert guarded.balancer.statistics().ejections == 1


def test_by_latency_accrual_and_hedging_nobody_notices_at_a_thousandth_more_load() -> None:
    hedged = one_turns_slow("ewma", P95, AccrualParams())

    assert hedged.success == 1.0
    assert hedged.extra < 0.002


@pytest.mark.parametrize(("kind", "hedging"), [("heap", P95), ("ewma", P999)])
def test_hedging_helps_and_stays_within_its_budget(kind: BalancerKind, hedging: HedgeParams) -> None:
    plain, hedged = one_turns_slow(kind), one_turns_slow(kind, hedging)

    assert hedged.success > plain.success
    assert 0 < hedged.extra <= hedging.max_extra
    assert hedged.copies == hedged.attempts.total() - hedged.calls


def test_least_loaded_with_hedging_hides_the_slow_one_from_all() -> None:
    hedged = one_turns_slow("heap", P95)

    assert hedged.success == 1.0
    assert hedged.percentile(99.9) < 0.400  # a delay and an answer, 2 x 180 ms
    assert hedged.extra < 0.03


def test_by_latency_a_few_copies_hide_nearly_all_that_is_left() -> None:
    hedged = one_turns_slow("ewma", P999)

    assert hedged.success >= 0.9995
    assert hedged.extra < P999.max_extra


def test_while_nothing_is_slow_hedging_changes_little() -> None:
    """Copies are what is beyond the percentile by its meaning, and less, because delays are rounded up."""
    servers = {port: normal(0.167, 0.005, seed=port) for port in range(11)}
    hedged = Experiment(balancer(11, "p2c"), servers, patience=1.0, hedging=P95).run(500, 20)

    assert hedged.success == 1.0
    assert hedged.extra < 0.05


def test_in_turns_the_failing_and_the_slow_get_their_share() -> None:
    plain = ten_of_all_sorts("roundRobin")

    assert 0.88 <= plain.success <= 0.92
    assert plain.percentile(95) >= 1.0
    assert plain.percentile(99) >= 2.0


@pytest.mark.parametrize("kind", ["roundRobin", "heap", "p2c", "ewma"])
def test_breaking_and_one_retry_hide_the_failing_ones(kind: BalancerKind) -> None:
    plain, guarded = ten_of_all_sorts(kind), ten_of_all_sorts(kind, BREAKER, 1)

    assert guarded.success > plain.success
    assert guarded.success >= 0.9995
    assert guarded.extra < 0.02


def test_by_latency_the_failing_are_hidden_and_the_slow_are_avoided() -> None:
    guarded = ten_of_all_sorts("ewma", BREAKER, 1)

    assert guarded.success >= 0.9999
    for percent, bound in ((50, 0.020), (95, 0.604 / 2), (99, 0.734 / 2)):  # p95, p99: half of what was published
        assert guarded.percentile(percent) < bound
    assert guarded.percentile(95) < ten_of_all_sorts("roundRobin", BREAKER, 1).percentile(95)
