"""The requests of the last minutes, kept to be asked about: why did this one go there?

Two rings, so that a busy agent does not forget in a second what is worth looking at: the latest requests whatever they
were, and of all before them those that failed, were tried more than once, took long, or are traced. What is in neither
any more cannot be asked about; their sizes are the bound of the memory that this takes, about 1 KB for each request.

A request is found by its `l5d-reqid`, which its answer bears too. That names a trace, so one caller's trace can have
several requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random

from nodeagent.telemetry.exchange import Exchange, Fields
from nodeagent.telemetry.trace import request_id

NOTABLE = 1 / 4
"""Of the capacity, on top of it: the room for what is worth to be kept longer."""

_PLAIN = Exchange._fields.index("plain")


class Recent:
    """The recent requests of one process; `record` is a keeper of an agent's `Exchanges`."""

    __slots__ = ("_latest", "_notable", "_rate", "_rng")

    def __init__(self, capacity: int, rate: float = 1.0, rng: Random | None = None) -> None:
        """`capacity` is how many of the latest requests are kept; `rate` the part of all requests that is looked at."""
        self._latest: deque[Fields] = deque(maxlen=capacity)
        self._notable: deque[Fields] = deque(maxlen=max(1, int(capacity * NOTABLE)))
        self._rate = rate
        self._rng = rng or Random()

    def record(self, fields: Fields) -> None:
        """Keep a request that is over."""
        if self._rate < 1.0 and self._rng.random() >= self._rate:
            return
        latest = self._latest
        if len(latest) == latest.maxlen and not latest[0][_PLAIN]:
            self._notable.append(latest[0])
        latest.append(fields)

    def __iter__(self) -> Iterator[Exchange]:
        """All that are kept, the one that ended last first."""
        yield from map(Exchange.of, reversed(self._latest))
        yield from map(Exchange.of, reversed(self._notable))

    def __len__(self) -> int:
        return len(self._latest) + len(self._notable)

    def find(self, id_: bytes) -> list[Exchange]:
        """Those whose `l5d-reqid` is `id_`, 16 hexadecimal digits, the last first."""
        return [exchange for exchange in self if exchange.trace and request_id(exchange.trace) == id_]

    def latest(self, count: int, wanted: Callable[[Exchange], bool] | None = None) -> list[Exchange]:
        """The last `count` that are `wanted`, the last first."""
        return list(islice((each for each in self if wanted is None or wanted(each)), count))
