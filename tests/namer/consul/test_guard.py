"""What is believed of a registry that takes away much at once."""

from __future__ import annotations

import pytest

from namer.consul.catalog import Instance, Instances
from namer.consul.guard import HOLD, Guard
from namer.targets import Target


def instances(count: int, first: int = 0) -> Instances:
    return tuple(Instance("n1", f"i{number}", Target("10.0.0.1", number + 1)) for number in range(first, first + count))


@pytest.mark.parametrize(
    ("before", "after", "steady", "believed"),
    [
        pytest.param(0, 5, True, True, id="the first answer"),
        pytest.param(5, 4, True, True, id="one is deregistered"),
        pytest.param(4, 2, True, True, id="half of them"),
        pytest.param(1, 0, True, True, id="the last of a small service"),
        pytest.param(2, 0, True, True, id="both of a small service"),
        pytest.param(5, 1, True, True, id="a few are scaled down"),
        pytest.param(6, 2, True, False, id="more than half of six"),
        pytest.param(3, 0, True, False, id="all of three"),
        pytest.param(100, 49, True, False, id="more than half of many"),
        pytest.param(1, 0, False, False, id="the last one, after trouble"),
        pytest.param(4, 3, False, True, id="one is deregistered, after trouble"),
    ],
)
def test_what_is_believed_at_once(before: int, after: int, steady: bool, believed: bool) -> None:
    assert (Guard(instances(before)).judge(instances(after), steady, 0.0) is None) is believed


def test_all_replaced_by_as_many_others_is_no_removal() -> None:
    assert Guard(instances(4)).judge(instances(4, first=10), True, 0.0) is None


@pytest.mark.parametrize("steady", [True, False])
def test_the_same_answer_for_long_enough_is_believed(steady: bool) -> None:
    guard = Guard(instances(4))

    assert guard.judge((), steady, 100.0) == (
        "Consul names only 0 instances of late, and named 4 before; those are kept for 15 s more"
    )
    assert guard.judge((), True, 100.0 + HOLD - 1)
    assert guard.judge((), True, 100.0 + HOLD) is None
    assert guard.kept(()) == ()


def test_the_last_one_gone_after_trouble_stays_suspicious_until_then() -> None:
    guard = Guard(instances(1))

    assert guard.judge((), False, 0.0)
    assert guard.judge((), True, 1.0)
    assert guard.judge((), True, HOLD) is None


def test_an_answer_that_is_whole_again_ends_it() -> None:
    guard = Guard(instances(4))
    guard.judge((), True, 0.0)

    assert guard.judge(instances(4), True, 1.0) is None
    assert guard.judge((), True, 2.0 + HOLD)


def test_meanwhile_those_known_stand_beside_those_that_are_new() -> None:
    guard = Guard(instances(6))
    found = instances(1, first=9)

    assert guard.judge(found, True, 0.0)
    assert {each.id for each in guard.kept(found)} == {"i0", "i1", "i2", "i3", "i4", "i5", "i9"}


def test_one_after_the_other_is_a_mass_removal_too() -> None:
    guard = Guard(instances(3))

    assert guard.judge(instances(2), True, 0.0) is None
    assert guard.judge(instances(1), True, 0.1) is None
    assert guard.judge((), True, 0.2)
    assert {each.id for each in guard.kept(())} == {"i0", "i1", "i2"}
    assert guard.judge((), True, 0.2 + HOLD) is None
    assert guard.judge((), True, 0.3 + HOLD) is None
    assert guard.kept(()) == ()


def test_what_went_long_ago_does_not_count() -> None:
    guard = Guard(instances(3))
    guard.judge(instances(2), True, 0.0)
    guard.judge(instances(1), True, 1.0)

    assert guard.judge((), True, 1.0 + HOLD) is None


def test_a_rolling_restart_is_no_removal() -> None:
    guard = Guard(instances(4))

    assert [guard.judge(instances(4, first=number), True, number / 10) for number in range(1, 12)] == [None] * 11
    assert [each.id for each in guard.kept(())] == ["i11", "i12", "i13", "i14"]


def test_a_doubt_that_ends_halfway_forgets_nothing() -> None:
    guard = Guard(instances(3))
    assert guard.judge((), True, 0.0)
    assert guard.judge(instances(2), True, 1.0) is None
    assert guard.judge((), True, 2.0)
