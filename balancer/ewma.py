"""Peak EWMA: load is the recent cost of a request, in seconds, times the requests that would wait for it.

* A sample above the cost replaces it at once; one below pulls it down with time constant *decay* (weight
  e^(-age/decay), half-life 0.69 decay): quick to see trouble, slow to forget it.
* Between samples the cost fades towards zero, so that an endpoint shunned for a slow reply is tried again.
* An endpoint that never answered has load 0 and wins its first pick; while that request is out its load is
  above any real one, so it gets no second request before the first came back or has been out for ``FLOOR``.

The algorithm is finagle's ``PeakEwma``, with these conscious differences:

* The age of the oldest request that is still out counts as a cost, too: it will take at least that long. So an
  endpoint that stalls is seen to be slow as soon as its requests are overdue, one round trip after the stall, and
  not when the first slow reply is back. An answer that streams on is no longer out, and a request whose body streams
  in never is: how long that takes is up to its caller.
* A request that was given up by its caller took at least as long as it did: that is a sample when it is above the cost.
* Reading computes the faded cost and writes nothing. In finagle reading fades the cost *and restamps it*, so
  under load a sample below the cost weighs next to nothing and the cost is a decaying maximum. Here 100 ms at
  t=0 s followed by 20 ms at t=1 s gives 92.39 ms, read in between or not; finagle says 90.48 ms when read.
* A failure never looks fast: it counts as a request that took as long as it did, as the current cost, or as
  ``FLOOR``, whichever is longest. The cost learns that time, and the request goes on counting as in
  flight for about the floor. So an endpoint that answers 500 in 1 ms looks like one that answers in 1 s, idle
  or not, and gets no more than its share while the others are faster than that. The floor enters the mean and
  is no peak: a stray error moves the cost little, and a background of errors on all endpoints does not drown
  what tells the fast from the slow. The floor of 1 s is the penalty that linkerd2-proxy uses.
"""

from math import exp

FLOOR = 1.0
"""Seconds that a failure counts for at least: about what it costs the caller to find out and try again."""

UNPROVEN = (2**47 - 1) / 1e9
"""Load (39 hours) of an endpoint whose first request is still out; finagle's penalty constant."""


class PeakEwma:
    """The latency-aware load of one endpoint. *decay* is the time constant in seconds."""

    __slots__ = ("_fade", "_failed", "_failed_at", "_out", "cost", "stamp")

    def __init__(self, decay: float) -> None:
        self._fade = 1.0 / decay
        self.cost = 0.0
        """Seconds per request as of the last sample; 0 while nothing is known."""
        self.stamp = 0.0
        """When the last sample was taken."""
        self._failed = 0.0
        """Failures that still count as in flight, as of the last one; they fade over FLOOR."""
        self._failed_at = 0.0
        self._out: dict[float, int] = {}
        """When the requests began that are not answered yet, the oldest first, and how many began just then."""

    def load(self, pending: float, now: float) -> float:
        """Return the faded cost, or the age of the oldest request if that is more, times *pending* + 1."""
        cost = self.cost
        age = 0.0
        if pending:
            for oldest in self._out:
                age = now - oldest
                break
        if cost == 0.0 and age < FLOOR:
            return UNPROVEN + pending if pending else 0.0
        waiting = pending + self._recent_failures(now) if self._failed else pending
        cost *= exp((self.stamp - now) * self._fade)
        return (age if age > cost else cost) * (waiting + 1)  # noqa: FURB136 - max() costs a call

    def known_cost(self, pending: float, now: float) -> float:
        """Return the load by request, of those that wait and one more; 0 while nothing is known."""
        load = self.load(pending, now)
        return load / (pending + 1) if load < UNPROVEN else 0.0

    def begun(self, now: float) -> None:
        """Count the age of one more request from now on."""
        out = self._out
        out[now] = out[now] + 1 if now in out else 1

    def ignored(self, started: float) -> None:
        """Count the age of a request no more."""
        self._answered(started)

    def succeeded(self, started: float, now: float) -> None:
        """Learn from a request that succeeded."""
        out = self._out
        if out[started] == 1:  # as `_answered`, without the call
            del out[started]
        else:
            out[started] -= 1
        elapsed = now - started
        cost = self.cost
        if elapsed > cost:
            self.cost = elapsed
        else:
            self.cost = elapsed + (cost - elapsed) * exp((self.stamp - now) * self._fade)
        self.stamp = now

    def failed(self, started: float, now: float) -> None:
        """Learn from a request that failed, whether or not its age was counted."""
        self._answered(started)
        cost = max(now - started, self.cost)
        counted = max(cost, FLOOR)
        keep = exp((self.stamp - now) * self._fade) if self.cost else 0.0
        self.cost = counted + (cost - counted) * keep
        self.stamp = now
        self._failed = self._recent_failures(now) + 1.0
        self._failed_at = now

    def given_up(self, started: float, now: float) -> None:
        """Learn that a request would have taken longer than this."""
        self._answered(started)
        elapsed = now - started
        if elapsed > self.cost * exp((self.stamp - now) * self._fade):
            self.cost = elapsed
            self.stamp = now

    def _answered(self, started: float) -> None:
        out = self._out
        count = out.get(started, 0)
        if count == 1:
            del out[started]
        elif count:
            out[started] = count - 1

    def _recent_failures(self, now: float) -> float:
        return self._failed * exp((self._failed_at - now) / FLOOR)
