"""The tap of the whole: its supervisor asks all workers again and again what they saw.

Each has a queue of its own for a tap, and makes the text; the supervisor only passes it on, as fast as it is
taken. One that replaces another opens the tap when it is first asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Protocol

from nodeagent.admin.tap import Look, News
from nodeagent.telemetry.exchange import Exchanges
from nodeagent.telemetry.filter import Filter
from nodeagent.telemetry.tap import Tap
from nodeagent.workers.channel import Seen, Watch

_numbers = count()


class Watched(Protocol):
    """The workers."""

    async def watch(self, tap: int, filter_: str, most: int) -> tuple[dict[int, Seen], dict[int, str]]:
        """As `Supervisor.watch`."""
        ...

    def unwatch(self, tap: int) -> None:
        """As `Supervisor.unwatch`."""
        ...


@contextmanager
def watching(workers: Watched, wanted: Filter) -> Iterator[Look]:
    """Watch the requests of all workers while the block runs."""
    tap = next(_numbers)
    waiting: deque[bytes] = deque()

    async def look(most: int) -> News:
        seen, missing = await workers.watch(tap, wanted.text, max(0, most - len(waiting)))
        waiting.extend(record for each in seen.values() for record in each.records)
        records = [waiting.popleft() for _ in range(min(most, len(waiting)))]
        return News(records, sum(each.dropped for each in seen.values()), tuple(missing.values()))

    try:
        yield look
    finally:
        workers.unwatch(tap)


class Taps:
    """The taps that are open in one worker, by the supervisor's number."""

    def __init__(self, exchanges: Exchanges) -> None:
        self._exchanges = exchanges
        self._open: dict[int, Tap] = {}

    def open(self, asked: Watch) -> Tap:
        """Return the tap that is asked for; from the first time it watches. Raises FilterError."""
        tap = self._open.get(asked.tap)
        if tap is None:
            tap = self._open[asked.tap] = Tap(Filter(asked.filter))
            self._exchanges.watch(tap.hear)
        return tap

    def close(self, number: int) -> None:
        """Let go of a tap; of one that is not open too."""
        if (tap := self._open.pop(number, None)) is not None:
            self._exchanges.unwatch(tap.hear)
