"""The retry budget, with finagle's figures."""

import pytest

from balancer.budget import RetryBudget


def allowed(budget: RetryBudget, requests: int) -> int:
    """Return how many of *requests* at one moment may be retried once."""
    count = 0
    for _ in range(requests):
        budget.deposit(0.0)
        count += budget.try_withdraw(0.0)
    return count


@pytest.mark.parametrize(
    ("budget", "retries"),
    [
        pytest.param(RetryBudget(10, 0, 0.25), 2500, id="a quarter, no reserve"),
        pytest.param(RetryBudget(1, 10, 0.1), 1010, id="a tenth and the reserve of one second"),
        pytest.param(RetryBudget(10, 10, 0.0), 100, id="only the reserve"),
        pytest.param(RetryBudget(10, 0, 0.0), 0, id="none at all"),
        pytest.param(RetryBudget(10, 0, 2.0), 10_000, id="two for one"),
    ],
)
def test_ten_thousand_requests_that_all_want_a_retry(budget: RetryBudget, retries: int) -> None:
    assert allowed(budget, 10_000) == pytest.approx(retries, abs=1)


def test_the_default_starts_with_a_hundred_and_fills_to_twenty_one_hundred() -> None:
    budget = RetryBudget(10, 10, 0.2)
    assert budget.balance(0.0) == 100
    for request in range(10_000):
        budget.deposit(request / 1000)
    assert budget.balance(9.9999) == 2100


def test_deposits_are_forgotten_after_ttl() -> None:
    budget = RetryBudget(10, 0, 0.5)
    for _ in range(10):
        budget.deposit(0.0)
    assert budget.balance(5.0) == 5
    assert budget.balance(10.0) == 0
    assert not budget.try_withdraw(10.0)


def test_what_was_taken_from_the_reserve_comes_back_after_ttl() -> None:
    budget = RetryBudget(1, 2, 0.0)
    assert [budget.try_withdraw(0.0) for _ in range(3)] == [True, True, False]
    assert budget.balance(0.5) == 0
    assert budget.balance(1.0) == 2


def test_a_withdrawal_that_outlives_its_deposit_leaves_no_debt_to_see() -> None:
    budget = RetryBudget(10, 0, 1.0)
    budget.deposit(0.0)
    assert budget.try_withdraw(5.0)
    assert budget.balance(10.0) == 0


def test_half_a_retry_for_each_request() -> None:
    budget, balances = RetryBudget(10, 0, 0.5), []
    for _ in range(2):
        budget.deposit(0.0)
        balances.append(budget.balance(0.0))
    assert balances == [0, 1]
    assert budget.try_withdraw(0.0)
    assert budget.balance(0.0) == 0
