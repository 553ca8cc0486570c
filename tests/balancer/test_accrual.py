"""Failure accrual: stories of one endpoint's health."""

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.accrual import Change, FailureAccrual, Health, Reason
from balancer.accrual_policies import ConsecutiveFailures
from balancer.backoff import ConstantBackoff, EqualJitter
from balancer.response_class import ResponseClass

A, D, P = Health.ALIVE, Health.DEAD, Health.PROBING
ok, fail, retry, lost, refused, rejected = (
    ResponseClass.SUCCESS,
    ResponseClass.FAILURE,
    ResponseClass.RETRYABLE,
    ResponseClass.IGNORABLE,
    ResponseClass.REFUSED,
    ResponseClass.REJECTED,
)
PICK = "pick"
ASKED = "asks for five seconds"
Step = tuple[float, ResponseClass | str, Health]


@pytest.mark.parametrize(
    "story",
    [
        #               at  event  health after
        pytest.param([(0, fail, A), (1, ok, A), (2, fail, A), (3, fail, D)], id="a success forgives"),
        pytest.param([(0, fail, A), (1, lost, A), (2, fail, D)], id="nothing learnt does not"),
        pytest.param([(0, retry, A), (1, retry, D)], id="a retryable failure is a failure"),
        pytest.param([(0, fail, A), (0, fail, D), (9.9, PICK, D), (10, PICK, P), (11, ok, A)], id="one probe revives"),
        pytest.param([(0, fail, A), (0, fail, D), (5, ok, D), (10, PICK, P)], id="stragglers do not revive"),
        pytest.param([(0, fail, A), (0, fail, D), (5, fail, D), (10, PICK, P)], id="nor put it off"),
        pytest.param([(0, fail, A), (0, fail, D), (10, PICK, P), (20, PICK, P), (20, ok, A)], id="one probe at a time"),
        pytest.param(
            [(0, fail, A), (0, fail, D), (10, PICK, P), (11, fail, D), (20, PICK, D), (21, PICK, P)],
            id="a failed probe starts the next delay",
        ),
        pytest.param(
            [(0, fail, A), (0, fail, D), (10, PICK, P), (11, lost, D), (11, PICK, P)],
            id="a lost probe is asked again",
        ),
        pytest.param(
            [(0, fail, A), (0, fail, D), (10, PICK, P), (11, ok, A), (12, fail, A), (13, fail, D)],
            id="after the revival it takes the whole count again",
        ),
        pytest.param([(0, refused, D), (0.9, PICK, D), (1, PICK, P), (1, ok, A)], id="the first refusal is enough"),
        pytest.param([(0, refused, D), (0.5, ok, A), (0.6, PICK, A)], id="after a refusal any success revives"),
        pytest.param([(0, refused, D), (0.5, fail, D), (1, PICK, P)], id="and no failure puts it off"),
        pytest.param(
            [(0, refused, D), (1, PICK, P), (1, refused, D), (1.9, PICK, D), (2, PICK, P)], id="down for long"
        ),
        pytest.param([(0, refused, D), (1, PICK, P), (1, fail, D), (2, PICK, P)], id="back but not well"),
        pytest.param([(0, refused, D), (1, PICK, P), (1, ok, A), (2, fail, A), (3, fail, D)], id="then it counts anew"),
        pytest.param([(0, fail, A), (1, refused, D), (2, PICK, D), (11, PICK, P)], id="the policy goes before"),
        pytest.param([(0, fail, A), (1, rejected, A), (2, fail, D)], id="too much to do is neither good nor bad"),
        pytest.param([(0, refused, D), (1, PICK, P), (1, rejected, D), (2, PICK, P)], id="and no recovery"),
        pytest.param([(0, ASKED, D), (4.9, PICK, D), (5, PICK, P), (5, ok, A)], id="it asked for five seconds"),
        pytest.param([(0, ASKED, D), (3, ASKED, D), (7.9, PICK, D), (8, PICK, P)], id="and for three more"),
        pytest.param([(0, ASKED, D), (5, PICK, P), (5, fail, D), (6, PICK, P)], id="it is not well yet"),
        pytest.param([(0, ASKED, D), (1, ok, D), (5, PICK, P)], id="what it still answers is no invitation"),
        pytest.param(
            [(0, fail, A), (0, fail, D), (10, PICK, P), (10, refused, D), (11, PICK, D), (20, PICK, P)],
            id="refused after an ejection it waits as ejected",
        ),
    ],
)
def test_the_life_of_an_endpoint(story: list[Step]) -> None:
    accrual = FailureAccrual(ConsecutiveFailures(2), ConstantBackoff(10.0), Random(1), ConstantBackoff(1.0))
    for at, event, health in story:
        if isinstance(event, ResponseClass):
            accrual.record(event, at, at)
        elif event is ASKED:
            accrual.leave_alone(at + 5, at)
        else:
            accrual.begin_probe(at)
        assert accrual.health is health, f"at {at}"


@pytest.mark.parametrize("outcome", list(ResponseClass))
def test_a_request_older_than_the_probe_says_nothing_about_it(outcome: ResponseClass) -> None:
    accrual = FailureAccrual(ConsecutiveFailures(1), ConstantBackoff(10.0), Random(1))
    accrual.record(fail, 0, 0)
    accrual.begin_probe(10)
    assert accrual.record(outcome, 9, 11) is None
    assert accrual.health is P
    assert accrual.record(ok, 10, 12) is Change.REVIVED
    assert accrual.record(outcome, 9, 13) is None
    assert accrual.health is A


@pytest.mark.parametrize(("out", "next_probe"), [(0.9, 10.9), (1.0, 21.0), (60.0, 80.0)])
def test_a_probe_that_somebody_waited_for_in_vain_has_failed(out: float, next_probe: float) -> None:
    accrual = FailureAccrual(ConsecutiveFailures(1), ConstantBackoff(10.0), Random(1))
    accrual.record(fail, 0, 0)
    accrual.begin_probe(10)
    assert accrual.record(lost, 10, 10 + out) is Change.PROBE_LOST
    assert accrual.health is D
    assert accrual.retry_at == next_probe


def test_a_probe_that_never_ends_does_not_shut_the_endpoint_out() -> None:
    accrual = FailureAccrual(ConsecutiveFailures(1), ConstantBackoff(10.0), Random(1))
    accrual.record(fail, 0, 0)
    assert [accrual.begin_probe(now) for now in (10, 39.9, 40, 69.9)] == [True, False, True, False]
    assert accrual.record(ok, 10, 65) is Change.REVIVED, "though it was late"


def test_what_began_before_a_refusal_says_nothing_about_it() -> None:
    accrual = FailureAccrual(ConsecutiveFailures(5), ConstantBackoff(10.0), Random(1), ConstantBackoff(1.0))
    assert accrual.record(refused, 4, 5) is Change.REFUSED
    assert accrual.record(ok, 4.9, 5.1) is None, "a connection that was open before goes on serving while it drains"
    assert accrual.health is D
    assert accrual.record(ok, 5.5, 5.6) is Change.REVIVED
    assert accrual.record(refused, 5.2, 6) is None, "a connect that timed out tells of the time before"
    assert accrual.health is A


def test_it_knows_why_it_is_dead() -> None:
    accrual = FailureAccrual(ConsecutiveFailures(2), ConstantBackoff(10.0), Random(1), ConstantBackoff(1.0))
    seen = []
    for now, outcome in [(0, fail), (1, fail), (12, ok), (20, refused), (22, refused), (24, ok)]:
        accrual.begin_probe(now)
        seen.append(accrual.reason)
        accrual.record(outcome, now, now)
    assert seen == [None, None, Reason.FAILURES, None, Reason.REFUSED, Reason.REFUSED]
    assert accrual.reason is None
    assert accrual.ejections == 1, "a refusal is none"


def test_the_reason_is_what_was_seen_last_and_the_wait_goes_on() -> None:
    accrual = FailureAccrual(ConsecutiveFailures(1), ConstantBackoff(10.0), Random(1), ConstantBackoff(1.0))
    accrual.record(fail, 0, 0)
    assert accrual.record(refused, 3, 3) is Change.GONE, "it got traffic all the same"
    assert (accrual.reason, accrual.retry_at, accrual.ejections) == (Reason.REFUSED, 10, 1)
    assert accrual.record(refused, 4, 4) is None
    accrual.begin_probe(10)
    assert accrual.record(fail, 10, 10) is Change.PROBE_LOST
    assert (accrual.reason, accrual.retry_at) == (Reason.FAILURES, 20), "it takes connections"
    accrual.begin_probe(20)
    assert accrual.record(refused, 20, 20) is Change.PROBE_LOST
    assert (accrual.reason, accrual.retry_at) == (Reason.REFUSED, 30)


def test_whoever_asked_to_be_left_alone_may_be_gone() -> None:
    accrual = FailureAccrual(ConsecutiveFailures(1), ConstantBackoff(10.0), Random(1), ConstantBackoff(1.0))
    accrual.leave_alone(5, 0)
    assert accrual.record(refused, 1, 1) is Change.GONE
    assert accrual.record(ok, 2, 2) is Change.REVIVED, "and is back when it is reached"


def test_a_refusal_that_is_the_last_failure_the_policy_waits_for_is_an_ejection() -> None:
    accrual = FailureAccrual(ConsecutiveFailures(2), ConstantBackoff(10.0), Random(1), ConstantBackoff(1.0))
    accrual.record(fail, 0, 0)
    accrual.record(refused, 1, 1)
    assert (accrual.reason, accrual.retry_at, accrual.ejections) == (Reason.FAILURES, 11, 1)


def test_the_delay_grows_with_each_failed_probe_and_starts_anew_after_a_revival() -> None:
    accrual = FailureAccrual(ConsecutiveFailures(5), EqualJitter(5, 300), Random(1))

    def die(now: float) -> float:
        while accrual.health is not D:
            accrual.record(fail, now, now)
        return accrual.retry_at - now

    assert die(0) == 5
    for low, high in [(5, 10), (10, 20), (20, 40), (40, 80), (80, 160), (160, 300), (300, 300)]:
        now = accrual.retry_at
        accrual.begin_probe(now)
        assert low <= die(now) <= high
    now = accrual.retry_at
    accrual.begin_probe(now)
    accrual.record(ok, now, now)
    assert die(now) == 5


def test_only_the_way_from_alive_to_dead_is_an_ejection() -> None:
    accrual = FailureAccrual(ConsecutiveFailures(1), ConstantBackoff(1.0), Random(1))
    changes = [accrual.record(fail, 0, 0)]
    for now, outcome in [(1, fail), (2, lost), (2, ok)]:
        accrual.begin_probe(now)
        changes.append(accrual.record(outcome, now, now))
    assert changes == [Change.EJECTED, Change.PROBE_LOST, Change.PROBE_LOST, Change.REVIVED]
    assert accrual.ejections == 1


def test_available_is_alive_or_due() -> None:
    accrual = FailureAccrual(ConsecutiveFailures(1), ConstantBackoff(10.0), Random(1))
    assert accrual.available(0)
    accrual.record(fail, 0, 0)
    assert [accrual.available(now) for now in (9.9, 10)] == [False, True]
    accrual.begin_probe(10)
    assert not accrual.available(10)


EVENTS = st.lists(
    st.tuples(st.floats(0, 20), st.one_of(st.sampled_from(ResponseClass), st.just("probe")), st.floats(0, 50))
)


@given(EVENTS, st.integers(1, 4))
def test_whatever_happens_it_can_come_back(
    events: list[tuple[float, ResponseClass | str, float]], failures: int
) -> None:
    accrual = FailureAccrual(ConsecutiveFailures(failures), EqualJitter(5, 300), Random(1), EqualJitter(1, 32))
    now = 0.0
    for pause, event, age in events:
        now += pause
        if isinstance(event, ResponseClass):
            accrual.record(event, now - age, now)
        else:
            accrual.begin_probe(now)
        assert (accrual.retry_at < inf) == (accrual.health is not A)
        assert (accrual.reason is None) == (accrual.health is A)
    if accrual.health is D:
        now = max(now, accrual.retry_at)
        assert accrual.begin_probe(now)
    accrual.record(ok, now, now)
    assert accrual.health is A
