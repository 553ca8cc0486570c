"""When an endpoint that is alive has failed too often: the policies of failure accrual, by linkerd 1.x's kinds.

Source: finagle's ``FailureAccrualPolicy``.
"""

from balancer.ema import Ema
from balancer.window import WindowedSum


class NeverFails:
    """Kind ``none``: no number of failures makes an endpoint dead."""

    __slots__ = ()

    def success(self, now: float) -> None:
        """Count nothing."""

    def failure(self, now: float) -> bool:  # noqa: ARG002 - whenever it was
        """Count nothing."""
        return False

    def revived(self) -> None:
        """Never happens."""


class ConsecutiveFailures:
    """Kind ``consecutiveFailures``: trips at *failures* in a row."""

    __slots__ = ("_failures", "_in_a_row")

    def __init__(self, failures: int) -> None:
        self._failures = failures
        self._in_a_row = 0

    def success(self, now: float) -> None:  # noqa: ARG002 - only the order counts
        """Forgive what came before."""
        self._in_a_row = 0

    def failure(self, now: float) -> bool:  # noqa: ARG002 - only the order counts
        """Count one more in a row."""
        self._in_a_row += 1
        return self._in_a_row >= self._failures

    def revived(self) -> None:
        """Start at zero."""
        self._in_a_row = 0


class SuccessRate:
    """Kind ``successRate``: trips when the average success of some *requests* requests is below *required*.

    The average is an ``Ema`` over the number of the request, and is looked at only after *requests* of them.
    """

    __slots__ = ("_rate", "_requests", "_required", "_seen")

    def __init__(self, required: float, requests: int) -> None:
        self._required = required
        self._requests = requests
        self._rate = Ema(requests)
        self._seen = 0

    def success(self, now: float) -> None:  # noqa: ARG002 - only the order counts
        """Count a request as 1."""
        self._seen += 1
        self._rate.update(1.0, self._seen)

    def failure(self, now: float) -> bool:  # noqa: ARG002 - only the order counts
        """Count a request as 0."""
        self._seen += 1
        rate = self._rate.update(0.0, self._seen)
        return self._seen >= self._requests and rate < self._required

    def revived(self) -> None:
        """Start with no history."""
        self._rate.reset()
        self._seen = 0


class SuccessRateWindowed:
    """Kind ``successRateWindowed``: trips when the average success over *window* seconds is below *required*.

    The average is an ``Ema`` over time. It is looked at only when the history is a window long and holds
    ``MINIMUM_REQUESTS`` within the last window.
    """

    MINIMUM_REQUESTS = 5

    __slots__ = ("_rate", "_recent", "_required", "_since", "_window")

    def __init__(self, required: float, window: float) -> None:
        self._required = required
        self._window = window
        self._rate = Ema(window)
        self._recent = WindowedSum(window)
        self._since: float | None = None

    def success(self, now: float) -> None:
        """Count a request as 1."""
        self._count(1.0, now)

    def failure(self, now: float) -> bool:
        """Count a request as 0."""
        since = self._count(0.0, now)
        return (
            self._rate.value < self._required
            and now - since >= self._window
            and self._recent.total(now) >= self.MINIMUM_REQUESTS
        )

    def revived(self) -> None:
        """Start with no history."""
        self._rate.reset()
        self._recent = WindowedSum(self._window)
        self._since = None

    def _count(self, success: float, now: float) -> float:
        """Take in one request and return when the history began."""
        if self._since is None:
            self._since = now
        self._rate.update(success, now)
        self._recent.add(1, now)
        return self._since
