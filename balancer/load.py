"""How busy an endpoint is, as one number: what pickers compare.

A load metric belongs to one endpoint. It is told how its requests ended and is read at every pick, so reading
must be cheap and must change nothing.
"""

from typing import Protocol


class Metric(Protocol):
    """The load of one endpoint. Smaller is better; only the comparison between endpoints has a meaning."""

    def load(self, pending: int, now: float) -> float:
        """Return the load with *pending* requests in flight. Changes nothing."""

    def sample(self, elapsed: float, now: float) -> None:
        """Learn from a request that succeeded after *elapsed* seconds."""

    def sample_failure(self, elapsed: float, now: float) -> None:
        """Learn from a request that failed after *elapsed* seconds."""


class LeastLoaded:
    """The load is the number of requests in flight. It has no state, so all endpoints may share one."""

    __slots__ = ()

    def load(self, pending: int, now: float) -> float:  # noqa: ARG002 - the count does not age
        """Return *pending*."""
        return pending

    def sample(self, elapsed: float, now: float) -> None:
        """Learn nothing: only what is in flight counts."""

    def sample_failure(self, elapsed: float, now: float) -> None:
        """Learn nothing: only what is in flight counts."""
