"""How busy an endpoint is, as one number: what pickers compare.

A load metric belongs to one endpoint. It is told when requests begin and how they end, and is read at every pick, so
reading must be cheap and must change nothing. A request is known by the time at which it began.
"""

from typing import Protocol


class Metric(Protocol):
    """The load of one endpoint. Smaller is better; only the comparison between endpoints has a meaning."""

    def load(self, pending: float, now: float) -> float:
        """Return the load with *pending* requests in flight. Changes nothing."""

    def known_cost(self, pending: float, now: float) -> float:
        """Return the seconds that a request costs as of *now*; 0 when that is not known. Changes nothing."""

    def begun(self, now: float) -> None:
        """Hear that a request begins whose time is the endpoint's. One of the others follows, once."""

    def ignored(self, started: float) -> None:
        """Hear that a request is over, and says nothing; it need not have begun."""

    def succeeded(self, started: float, now: float) -> None:
        """Learn from a request, begun at *started*, that was served."""

    def failed(self, started: float, now: float) -> None:
        """Learn from a request that failed, or that was too much for the endpoint; it need not have begun."""

    def given_up(self, started: float, now: float) -> None:
        """Learn from a request whose answer nobody waited for: that it would have taken longer."""


class LeastLoaded:
    """The load is the number of requests in flight. It has no state, so all endpoints may share one."""

    __slots__ = ()

    def load(self, pending: float, now: float) -> float:  # noqa: ARG002 - the count does not age
        """Return *pending*."""
        return pending

    def known_cost(self, pending: float, now: float) -> float:  # noqa: ARG002
        """Return 0: only what is in flight counts."""
        return 0.0

    def begun(self, now: float) -> None:
        """Learn nothing: only what is in flight counts."""

    def ignored(self, started: float) -> None:
        """Learn nothing: only what is in flight counts."""

    def succeeded(self, started: float, now: float) -> None:
        """Learn nothing: only what is in flight counts."""

    def failed(self, started: float, now: float) -> None:
        """Learn nothing: only what is in flight counts."""

    def given_up(self, started: float, now: float) -> None:
        """Learn nothing: only what is in flight counts."""
