import math
import random

import pytest

from namer.dns.answers import Failed, Found, Nothing
from namer.dns.course import LOOK, Believe, Course, Doubt, retry_delay


def course() -> Course[str]:
    return Course(random.Random(7))


def found(at: float, ttl: float) -> Found[str]:
    return Found(("10.0.0.1",), at, at + ttl)


@pytest.mark.parametrize(("ttl", "wait"), [(5, 5), (30, 30), (300, LOOK)])
def test_records_hold_for_their_ttl_and_are_looked_at_in_between(ttl: float, wait: float) -> None:
    answer = found(100, ttl)

    assert course().step(answer, 100, has_records=True) == Believe(answer, 100 + wait)


def test_no_is_believed_of_a_name_that_had_nothing() -> None:
    answer = Nothing(False, 100, 130)

    assert course().step(answer, 100, has_records=False) == Believe(answer, 130)


@pytest.mark.parametrize(
    ("exists", "reason"),
    [(False, "does not exist any more, says one answer"), (True, "has no records any more, says one answer")],
)
def test_no_is_believed_of_a_name_that_had_something_when_it_is_said_twice(exists: bool, reason: str) -> None:
    going = course()
    first, second = Nothing(exists, 100, 130), Nothing(exists, 101, 131)

    step = going.step(first, 100, has_records=True)
    assert isinstance(step, Doubt)
    assert step.reason == reason
    assert 100.75 <= step.next_at <= 101.25
    assert going.newer_than == 100, "the answer that is doubted is not taken for its own confirmation"

    assert going.step(second, 101, has_records=True) == Believe(second, 131)
    assert going.newer_than == -math.inf


def test_no_that_is_not_confirmed_is_forgotten() -> None:
    going = course()
    going.step(Nothing(False, 100, 130), 100, has_records=True)
    going.step(found(101, 5), 101, has_records=True)

    assert isinstance(going.step(Nothing(False, 106, 136), 106, has_records=True), Doubt)


def test_a_failure_neither_confirms_nor_forgets() -> None:
    going = course()
    going.step(Nothing(False, 100, 130), 100, has_records=True)
    going.step(Failed("silence", 101, 102), 101, has_records=True)

    assert isinstance(going.step(Nothing(False, 103, 133), 103, has_records=True), Believe)


def test_failures_are_tried_again_ever_more_slowly() -> None:
    going = course()
    for least, most in [(1, 2), (2, 4), (4, 8), (8, 16), (15, 30), (15, 30)]:
        step = going.step(Failed("silence", 0, 1), 0, has_records=True)
        assert least <= step.next_at <= most
    going.step(found(0, 5), 0, has_records=True)

    assert going.step(Failed("silence", 0, 1), 0, has_records=True).next_at <= 2


def test_delays_differ() -> None:
    rng = random.Random(7)

    assert len({retry_delay(9, rng) for _ in range(100)}) > 90
    assert all(15 <= retry_delay(10_000, rng) <= 30 for _ in range(100))
