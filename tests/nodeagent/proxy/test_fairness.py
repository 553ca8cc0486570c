"""Who gets how much of what is bounded: tables, and what holds whatever happens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.proxy.caller import Caller
from nodeagent.proxy.fairness import Account, Accounts, beyond, connections_within, has_place

HOG, OTHER, THIRD = Caller(1, ""), Caller(2, ""), Caller(3, "")


@pytest.mark.parametrize(
    ("bound", "used", "held", "callers", "place"),
    [
        pytest.param(math.inf, 10**6, 10**6, 2, True, id="no bound"),
        pytest.param(10, 9, 9, 1, True, id="who is alone may have all"),
        pytest.param(10, 10, 10, 1, False, id="and no more"),
        pytest.param(10, 9, 9, 2, True, id="below the bound everybody takes what they like"),
        pytest.param(10, 10, 10, 2, False, id="who has more than its part gets no more"),
        pytest.param(10, 10, 0, 2, True, id="who has less does"),
        pytest.param(10, 10, 5, 2, False, id="who has just its part does not"),
        pytest.param(80, 89, 1, 2, True, id="up to an eighth beyond"),
        pytest.param(80, 90, 1, 2, False, id="and no more than that"),
        pytest.param(1, 1, 0, 2, True, id="at least one beyond"),
    ],
)
def test_who_gets_in(bound: float, used: int, held: int, callers: int, place: bool) -> None:
    assert has_place(bound, used, held, callers) is place


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [(256, 113), (1024, 455), (20_000, 11_699), (65_536, 38_684), (4, 1)],
)
def test_the_bound_leaves_room_for_endpoints_and_a_reserve(descriptors: int, connections: int) -> None:
    assert connections_within(descriptors) == connections
    if descriptors > 4:
        assert 3 * beyond(connections) / 2 + min(256, descriptors // 4) <= descriptors


@dataclass
class Idle:
    account: Account
    number: int


def crowd(bound: float, **of: int) -> tuple[Accounts, list[Idle]]:
    """So many connections of each, all idle, the callers' in turn."""
    accounts = Accounts(bound)
    names = {"hog": HOG, "other": OTHER, "third": THIRD}
    idle = [
        Idle(accounts.open(names[name]), number)
        for number in range(max(of.values()))
        for name, count in of.items()
        if number < count
    ]
    return accounts, idle


def test_below_the_bound_nothing_is_closed() -> None:
    accounts, idle = crowd(100, hog=98, other=1)
    assert accounts.surplus(idle) == []


def test_at_the_bound_who_has_most_loses_what_idles_longest() -> None:
    accounts, idle = crowd(80, hog=78, other=2)
    gone = accounts.surplus(idle)
    assert [(each.account.caller, each.number) for each in gone] == [(HOG, number) for number in range(10)]


def test_who_has_its_part_loses_nothing() -> None:
    accounts, idle = crowd(90, hog=60, other=20, third=10)
    assert {each.account.caller for each in accounts.surplus(idle)} == {HOG}


def test_who_is_alone_makes_room_for_itself() -> None:
    accounts, idle = crowd(80, hog=80)
    assert len(accounts.surplus(idle)) == 10


def test_nothing_idle_is_nothing_to_close() -> None:
    accounts, _ = crowd(80, hog=80)
    assert accounts.surplus([]) == []


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=300))
def test_whatever_happens_no_more_than_the_bound_and_an_eighth_is_used(
    bound: int, events: list[tuple[int, bool]]
) -> None:
    accounts, held = Accounts(bound), [0] * 5
    for uid, comes in events:
        caller = Caller(uid, "")
        if comes and accounts.has_place(caller):
            accounts.open(caller)
            held[uid] += 1
        elif not comes and held[uid]:
            accounts.close(caller)
            held[uid] -= 1
        assert accounts.connections == sum(held) <= beyond(bound)
        assert len(accounts) == sum(count > 0 for count in held)
        if accounts.connections <= bound:
            assert accounts.has_place(Caller(9, "")), "who has nothing gets in while the spare places are free"
