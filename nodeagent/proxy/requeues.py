"""The budget of one concrete name for requests that were never sent, and so are sent once more. Pure.

A deposit for each success, a withdrawal for each repeat, and one request takes a fifth at most: finagle's
RequeueFilter. But a request that was never sent costs its endpoint nothing, so while another one is usable it goes
there in any case.
"""

from __future__ import annotations

from collections.abc import Iterable

from balancer.node import Node
from balancer.params import RetryBudgetParams, make_retry_budget
from nodeagent.proxy.messages import Request
from nodeagent.telemetry.stats import ClientStats

SHARE = 5
"""One request may take a fifth of the budget."""


class Requeues:
    """Decides on repeats of what was never sent, and counts them."""

    __slots__ = ("_budget", "_stats", "deposit")

    def __init__(self, params: RetryBudgetParams, stats: ClientStats) -> None:
        self._budget = make_retry_budget(params)
        self._stats = stats
        self.deposit = self._budget.deposit
        """Counts a success, at the time given."""

    def balance(self, now: float) -> int:
        """Return how many repeats could be paid for."""
        return self._budget.balance(now)

    def allow(self, request: Request, nodes: Iterable[Node], now: float, *, always: bool) -> bool:
        """Pay for one more attempt at `request` on one of `nodes`, and count it; False when it is not to be made.

        It is to be made whenever one of them is usable that has not failed the request, or `always`; else from the
        budget.
        """
        stats = self._stats
        done = len(request.tried)
        within = done < -(-(self._budget.balance(now) + done) // SHARE)
        paid = within and self._budget.try_withdraw(now)
        if paid or always or any(node.accrual.available(now) and node not in request.avoid for node in nodes):
            stats.requeues += 1
            return True
        if within:
            stats.requeue_budget_exhausted += 1
        else:
            stats.requeue_limits += 1
        return False
