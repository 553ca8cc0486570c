"""What one who watches live requests has yet to see. Pure.

A tap hears of requests in the middle of traffic, and only keeps those that it wants; text is made of them when they
are taken. It keeps no more than `QUEUE`: what there is no room for is counted, so that whoever reads slowly, or asks
for more than anybody can read, costs neither memory nor time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from nodeagent.telemetry.exchange import Exchange

QUEUE: Final = 1000
"""Requests, of about 1 KB each."""


class Tap:
    """The queue of one watcher; `hear` watches an agent's `Exchanges`."""

    __slots__ = ("_dropped", "_queue", "_wanted")

    def __init__(self, wanted: Callable[[Exchange], bool]) -> None:
        self._wanted = wanted
        self._queue: deque[Exchange] = deque()
        self._dropped = 0

    def hear(self, exchange: Exchange) -> None:
        """Keep a request if it is wanted, or count it where there is no room."""
        if self._wanted(exchange):
            if len(self._queue) < QUEUE:
                self._queue.append(exchange)
            else:
                self._dropped += 1

    def take(self, most: int) -> tuple[list[Exchange], int]:
        """Return the next requests, at most so many, and how many were dropped since the last time."""
        queue, dropped = self._queue, self._dropped
        self._dropped = 0
        return [queue.popleft() for _ in range(min(most, len(queue)))], dropped
