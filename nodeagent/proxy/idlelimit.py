"""How long an idle connection may be used again: for less than its backend keeps it. Pure; seconds.

A backend that closes a connection just when a request is on its way loses that request, and not every loss can be
repaired. So the agent lets go of a connection first. Sources: `Keep-Alive: timeout=5` (RFC 2068, 19.7.1.1; Node and
Apache send it), and else what the backend was seen to do.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import inf

MARGIN = 0.8
"""The part of a backend's limit for which a connection is used: clocks, networks and busy processes are late."""

LEAST = 1.0
"""What is learnt is never less, so that a backend that closes at random does not end all reuse."""

ERRATIC = 3
"""Closings before LEAST, in as many different seconds, after which a backend is taken to close at random."""

MEMORY = 600.0
"""Seconds for which something learnt holds: a restart closes connections of any age, and means nothing by it."""

_TIMEOUT = re.compile(rb"(?:^|[,;])[ \t]*timeout[ \t]*=[ \t]*\"?([0-9]{1,9})\"?[ \t]*(?:$|[,;])", re.IGNORECASE)


@lru_cache(64)
def announced(field: bytes) -> float:
    """Return for how long a connection may be idle, by a response's Keep-Alive field; infinity if it does not say."""
    found = _TIMEOUT.search(field)
    return int(found[1]) * MARGIN if found else inf


class IdleLimit:
    """How long one endpoint lets connections be idle, learnt from those that it closed."""

    __slots__ = ("_early", "_early_at", "_forget_at", "_least")

    def __init__(self) -> None:
        self._least = inf
        self._forget_at = -inf
        self._early = 0  # times that connections were closed before LEAST; a restart, which closes many, is once
        self._early_at = -inf

    def closed_at_age(self, age: float, now: float) -> None:
        """Learn that the endpoint closed a connection that had been idle for `age`."""
        if age <= self._least or now >= self._forget_at:
            self._least = age
            self._forget_at = now + MEMORY
        if age < LEAST and now - self._early_at >= 1.0:
            self._early = self._early + 1 if now - self._early_at < MEMORY else 1
            self._early_at = now

    def is_erratic(self, now: float) -> bool:
        """Tell whether the endpoint closes at random: no age is safe for what could not be repaired."""
        return self._early >= ERRATIC and now - self._early_at < MEMORY

    def limit(self, now: float) -> float:
        """Return for how long a connection may be idle and still be used; infinity when nothing is known."""
        return max(LEAST, self._least * MARGIN) if now < self._forget_at else inf
