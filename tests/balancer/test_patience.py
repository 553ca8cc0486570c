"""Whose fault it is when a caller gives up."""

import pytest

from balancer.accrual import Health
from balancer.balancer import Balancer
from balancer.node import Node
from balancer.params import AccrualParams
from balancer.response_class import ResponseClass
from tests.balancer.farm import balancer
from tests.balancer.test_balancer import FRAGILE

GIVEN_UP, SUCCESS = ResponseClass.GIVEN_UP, ResponseClass.SUCCESS


def test_giving_up_soon_is_nobodys_fault() -> None:
    pool = balancer(2, accrual=FRAGILE)
    for each in pool.nodes:
        give_up(pool, each, 0.0, after=0.4)
    assert pool.statistics().alive == 2


def test_giving_up_long_after_another_answered_what_came_later_is() -> None:
    pool = balancer(2, accrual=FRAGILE)
    first, second = pool.nodes
    answer(pool, second, 0.0, after=0.1)
    pool.begin(first, 1.0)
    answer(pool, second, 1.2, after=0.1)
    pool.end(first, 1.0, 2.0, GIVEN_UP)
    assert (first.accrual.health, second.accrual.health) == (Health.DEAD, Health.ALIVE)


@pytest.mark.parametrize(
    ("at", "after"),
    [
        pytest.param(0.9, 0.1, id="before, so it may have stalled since"),
        pytest.param(1.2, 0.7, id="as late"),
    ],
)
def test_while_no_other_answers_in_time_either_it_is_not(at: float, after: float) -> None:
    pool = balancer(2, accrual=FRAGILE)
    first, second = pool.nodes
    for _ in range(100):
        answer(pool, second, 0.0, after=0.1)
    pool.begin(first, 1.0)
    answer(pool, second, at, after=after)
    pool.end(first, 1.0, 2.0, GIVEN_UP)
    assert pool.statistics().alive == 2


def test_the_only_endpoint_is_never_blamed() -> None:
    pool = balancer(1, accrual=FRAGILE)
    answer(pool, pool.nodes[0], 0.0, after=0.1)
    give_up(pool, pool.nodes[0], 1.0, after=9.0)
    assert pool.usable


def test_when_the_agent_was_held_up_itself_no_endpoint_is_ejected() -> None:
    """It was stopped for two seconds; now it sees all at once: callers that have gone, and answers that are late."""
    pool = balancer(10, accrual=AccrualParams())
    for at in range(100):
        answer(pool, pool.nodes[at % 10], at / 100, after=0.1)
    out = [(each, 1.0 + number / 1000) for number in range(20) for each in pool.nodes]
    for each, started in out:
        pool.begin(each, started)
    for number, (each, started) in enumerate(out):
        pool.end(each, started, 3.0, SUCCESS if number % 5 == 0 else GIVEN_UP)
    assert pool.statistics().alive == 10


def test_being_overtaken_by_a_copy_counts_sooner() -> None:
    pool = balancer(2, accrual=FRAGILE)
    first, second = pool.nodes
    answer(pool, second, 0.0, after=0.100)
    for at, after in ((1.0, 0.140), (2.0, 0.160)):
        pool.begin(first, at)
        answer(pool, second, at + 0.03, after=0.1)
        pool.end(first, at, at + after, ResponseClass.LOST)
        assert (first.accrual.health is Health.DEAD) == (after == 0.160)


def answer(pool: Balancer, node: Node, at: float, *, after: float) -> None:
    pool.begin(node, at)
    pool.end(node, at, at + after, SUCCESS)


def give_up(pool: Balancer, node: Node, at: float, *, after: float) -> None:
    pool.begin(node, at)
    pool.end(node, at, at + after, GIVEN_UP)


def test_where_requests_are_meant_to_last_giving_up_says_nothing() -> None:
    pool = balancer(2, accrual=FRAGILE)
    first, second = pool.nodes
    for at in range(50):
        answer(pool, second, 100.0 * at, after=30.0)
    pool.begin(first, 5000.0)
    answer(pool, second, 5001.0, after=30.0)
    pool.end(first, 5000.0, 5060.0, GIVEN_UP)
    assert pool.statistics().alive == 2
