"""Active health checks: their schedule, their verdict, and what becomes of an endpoint by it."""

from itertools import pairwise
from math import inf, nan
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.accrual import Change, FailureAccrual, Health, Reason
from balancer.accrual_policies import ConsecutiveFailures
from balancer.backoff import ConstantBackoff
from balancer.balancer import Balancer
from balancer.checks import CheckSchedule, RiseAndFall
from balancer.params import BalancerKind
from balancer.response_class import ResponseClass
from tests.balancer.farm import balancer
from tests.balancer.test_balancer import EVERY_KIND, FRAGILE, kill, picks, send
from tests.balancer.test_usable import heard

A, D, P = Health.ALIVE, Health.DEAD, Health.PROBING
OK, FAIL, LOST, REFUSED = (
    ResponseClass.SUCCESS,
    ResponseClass.FAILURE,
    ResponseClass.IGNORABLE,
    ResponseClass.REFUSED,
)
UP, DOWN, PICK = "checks say up", "checks say down", "pick"
CHECKS, FAILURES = Reason.CHECKS, Reason.FAILURES


@pytest.mark.parametrize(
    ("results", "verdicts"),
    [
        #            + passed, - failed        up after each: U, down: d
        pytest.param("+++", "UUU", id="well from the start"),
        pytest.param("-", "U", id="the first failure only counts"),
        pytest.param("---", "UUd", id="out at the third"),
        pytest.param("--+--+", "UUUUUU", id="not when one between them passes"),
        pytest.param("--+---", "UUUUUd", id="it counts from there"),
        pytest.param("---+", "UUdd", id="one pass is not enough to come back"),
        pytest.param("---++", "UUddU", id="two are"),
        pytest.param("---+-++", "UUddddU", id="two in a row"),
        pytest.param("---++--+---", "UUddUUUUUUd", id="and all begins again"),
    ],
)
def test_rise_two_fall_three(results: str, verdicts: str) -> None:
    checked = RiseAndFall(2, 3)
    was, seen = True, ""
    for result in results:
        assert checked.heard(result == "+") is (checked.up is not was), "a turn is told"
        was = checked.up
        seen += "U" if was else "d"
    assert seen == verdicts


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.booleans()))
def test_the_verdict_is_the_last_that_was_said_often_enough_in_a_row(rise: int, fall: int, results: list[bool]) -> None:
    checked = RiseAndFall(rise, fall)
    for result in results:
        checked.heard(result)
    up = True
    for end in range(1, len(results) + 1):
        if all(results[max(0, end - rise) : end]) and end >= rise:
            up = True
        elif not any(results[max(0, end - fall) : end]) and end >= fall:
            up = False
    assert checked.up is up


@given(st.integers(), st.floats(0.05, 60.0), st.integers(1, 5), st.floats(0.0, 100.0))
def test_an_endpoint_that_fails_is_out_within_fall_intervals(seed: int, interval: float, fall: int, at: float) -> None:
    schedule, rng = CheckSchedule(interval, 2, fall), Random(seed)
    checked, now = RiseAndFall(2, fall), schedule.first_delay(rng)
    assert 0 <= now <= interval
    while checked.up:
        checked.heard(passed=now < at)
        ended, now = now, now + schedule.next_delay(rng)
        assert interval * 0.89 <= now - ended <= interval * 1.11
    assert ended <= at + fall * interval * 1.11


def test_endpoints_are_not_checked_in_step() -> None:
    schedule, rng = CheckSchedule(interval=10.0), Random(1)
    firsts = sorted(schedule.first_delay(rng) for _ in range(1000))
    assert all(later - earlier < 0.2 for earlier, later in pairwise(firsts))
    assert len({schedule.next_delay(rng) for _ in range(1000)}) > 990


@pytest.mark.parametrize(
    ("interval", "rise", "fall"), [(0.0, 1, 1), (inf, 1, 1), (nan, 1, 1), (1.0, 0, 1), (1.0, 1, 0)]
)
def test_a_schedule_that_makes_no_sense_is_refused(interval: float, rise: int, fall: int) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        CheckSchedule(interval, rise, fall)


@pytest.mark.parametrize(
    "story",
    [
        #               at  event  health after, and why
        pytest.param([(0, DOWN, D, CHECKS), (1, UP, A, None)], id="out and back"),
        pytest.param([(0, UP, A, None)], id="up is nothing new"),
        pytest.param([(0, DOWN, D, CHECKS), (99, PICK, D, CHECKS)], id="no request is a probe"),
        pytest.param([(0, DOWN, D, CHECKS), (1, OK, D, CHECKS)], id="no success revives"),
        pytest.param([(0, DOWN, D, CHECKS), (1, FAIL, D, CHECKS), (2, REFUSED, D, CHECKS)], id="no failure counts"),
        pytest.param([(0, FAIL, A, None), (1, FAIL, D, FAILURES), (2, UP, D, FAILURES)], id="up ends no ejection"),
        pytest.param([(0, REFUSED, D, Reason.REFUSED), (0.5, UP, D, Reason.REFUSED)], id="nor a refusal"),
        pytest.param(
            [
                (0, FAIL, A, None),
                (1, FAIL, D, FAILURES),
                (2, DOWN, D, CHECKS),
                (20, PICK, D, CHECKS),
                (21, UP, A, None),
            ],
            id="what was ejected as well is back when its checks are passed",
        ),
        pytest.param(
            [(0, FAIL, A, None), (1, DOWN, D, CHECKS), (2, UP, A, None), (3, FAIL, A, None)], id="with no history"
        ),
        pytest.param(
            [
                (0, FAIL, A, None),
                (0, FAIL, D, FAILURES),
                (10, PICK, P, FAILURES),
                (11, DOWN, D, CHECKS),
                (12, OK, D, CHECKS),
                (13, UP, A, None),
                (14, FAIL, A, None),
                (15, FAIL, D, FAILURES),
                (25, PICK, P, FAILURES),
            ],
            id="a probe that is out does not matter any more, and later ones are as ever",
        ),
    ],
)
def test_the_life_of_a_checked_endpoint(story: list[tuple[float, object, Health, Reason | None]]) -> None:
    accrual = FailureAccrual(ConsecutiveFailures(2), ConstantBackoff(10.0), Random(1), ConstantBackoff(1.0))
    for at, event, health, reason in story:
        if isinstance(event, ResponseClass):
            accrual.record(event, at, at)
        elif event is PICK:
            accrual.begin_probe(at)
        else:
            accrual.checked(event is UP, at)
        assert (accrual.health, accrual.reason) == (health, reason), f"at {at}"


def test_a_change_is_told_once() -> None:
    accrual = FailureAccrual(ConsecutiveFailures(2), ConstantBackoff(10.0), Random(1))
    told = [accrual.checked(up, now) for now, up in enumerate([True, False, False, True, True])]
    assert told == [None, Change.CHECKED_OUT, None, Change.REVIVED, None]
    assert accrual.ejections == 0


@pytest.mark.parametrize("outcome", [FAIL, REFUSED, LOST])
def test_what_began_before_it_came_back_tells_of_the_time_before(outcome: ResponseClass) -> None:
    accrual = FailureAccrual(ConsecutiveFailures(1), ConstantBackoff(10.0), Random(1), ConstantBackoff(1.0))
    accrual.checked(False, 1.0)
    accrual.checked(True, 2.0)
    assert accrual.record(outcome, 1.5, 3.0) is None
    assert accrual.health is A


def check(pool: Balancer, port: int, up: bool, now: float) -> None:
    pool.checked(pool.nodes[port], up, now)


@EVERY_KIND
def test_who_fails_its_checks_gets_nothing_until_it_passes_them(kind: BalancerKind) -> None:
    pool = balancer(2, kind)
    check(pool, 0, False, 0.0)
    assert set(picks(pool, 20, 1000.0)) == {1}
    check(pool, 0, True, 1001.0)
    check(pool, 1, False, 1001.0)
    assert set(picks(pool, 20, 2000.0)) == {0}


@EVERY_KIND
def test_when_all_fail_their_checks_traffic_still_flows(kind: BalancerKind) -> None:
    pool = balancer(3, kind)
    told = heard(pool)
    for port in range(3):
        check(pool, port, False, 0.0)
    assert picks(pool, 100, 1.0).total() == 100
    assert told == [False], "and who has a better choice takes that"
    assert not pool.probe_due(1e9), "without trying by a request"
    check(pool, 1, True, 2.0)
    assert set(picks(pool, 20, 2.0)) == {1}
    assert told == [False, True]


def test_a_retry_goes_to_who_passes_its_checks() -> None:
    pool = balancer(2)
    check(pool, 0, False, 0.0)
    assert set(picks(pool, 20, 1.0, avoid=(pool.nodes[0],))) == {1}


def test_check_outs_are_counted_apart_from_ejections() -> None:
    pool = balancer(2, accrual=FRAGILE)
    kill(pool, 0)
    for port in (0, 1):
        check(pool, port, False, 1.0)
    check(pool, 1, True, 2.0)
    send(pool, pool.nodes[0], 3.0)
    now = pool.statistics()
    assert (now.ejections, now.refusals, now.check_outs, now.revivals) == (1, 0, 2, 1)
    assert [(node.health, node.reason) for node in now.nodes] == [(D, CHECKS), (A, None)]
