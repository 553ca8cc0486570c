"""The retry budget: how many retries the recent requests have paid for.

A token bucket that leaks: each request deposits 1, each retry withdraws 1 / percent_can_retry, and both are
forgotten after *ttl* seconds. On top stands a reserve of min_per_sec x ttl retries, so that a quiet service
may retry too. When everything fails, an upstream sees at most 1 + percent_can_retry times the load, plus the
reserve.

All amounts are whole numbers, in thousandths of a request. Source: finagle's ``RetryBudget``.
"""

from balancer.window import WindowedSum

REQUEST = 1000
"""What one request deposits."""


class RetryBudget:
    """Pays for retries out of requests.

    *ttl*: seconds a deposit counts. *min_per_sec*: retries per second that need no deposit.
    *percent_can_retry*: retries per request; 0.2 is one retry for five requests, 2.0 is two for one.
    """

    __slots__ = ("_deposit", "_reserve", "_window", "_withdrawal")

    def __init__(self, ttl: float, min_per_sec: int, percent_can_retry: float) -> None:
        self._window = WindowedSum(ttl)
        if percent_can_retry > 0:
            self._deposit = REQUEST
            self._withdrawal = int(REQUEST / percent_can_retry)
        else:
            self._deposit = 0
            self._withdrawal = 1
        self._reserve = int(min_per_sec * ttl * self._withdrawal)

    def deposit(self, now: float) -> None:
        """Count one request."""
        if self._deposit:
            self._window.add(self._deposit, now)

    def try_withdraw(self, now: float) -> bool:
        """Pay for one retry; False, and nothing changes, when the budget does not hold enough."""
        if self._reserve + self._window.total(now) < self._withdrawal:
            return False
        self._window.add(-self._withdrawal, now)
        return True

    def balance(self, now: float) -> int:
        """Return how many retries could be paid for right now."""
        worth = self._reserve + self._window.total(now)
        return worth // self._withdrawal if worth > 0 else 0
