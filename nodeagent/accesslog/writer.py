"""The access log of one router: what is told of requests waits here until a task has written it.

    traffic --record--> queue --run: a slice of lines, let others run, ...--> a thread --> sink

A request costs the queueing and, in a slice later on, its line. A sink that hangs holds up one thread: the queue fills,
what comes then is dropped and counted, and traffic goes on as before.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Final

import structlog
import trio

from conf.accesslog import AccessLog
from nodeagent.accesslog.lines import Format, combined_line, journal_entry, json_line
from nodeagent.accesslog.sinks import Sink, open_sink
from nodeagent.telemetry.exchange import Exchange

log = structlog.get_logger("nodeagent.accesslog")

QUEUE: Final = 8192
"""Requests that may wait, about 1 KB each; as many are with the sink at most."""

INTERVAL: Final = 0.2
"""Seconds between two rounds of writing: many lines at once cost less than one at a time."""

SLICE: Final = 16
"""Lines that are made before others get a turn: a fifth of a millisecond."""

QUIET: Final = 10.0
"""Seconds between two lines of the log about what could not be written."""

Wanted = Callable[[Exchange], bool]


class AccessLogWriter:
    """Writes of each request to one router; `record` watches an agent's `Exchanges`."""

    def __init__(
        self,
        router: str,
        sink: Sink,
        make: Format,
        *,
        wanted: Wanted,
        counts: Counter[str],
        to_epoch: Callable[[], float],
    ) -> None:
        """`make` makes the records; `counts` counts them by what became of them, "written" or "dropped"."""
        self.router = router
        self._sink = sink
        self._make = make
        self._wanted = wanted
        self._counts = counts
        self._to_epoch = to_epoch
        self._queue: deque[Exchange] = deque()
        self._thread = trio.CapacityLimiter(1)
        self._reopen = False
        self._closing = trio.Event()
        self._complain_at = 0.0
        self._unsaid = 0

    def record(self, exchange: Exchange) -> None:
        """Have a request written that is over."""
        if exchange.router != self.router or not self._wanted(exchange):
            return
        if len(self._queue) >= QUEUE:
            self._drop(1, "the log takes nothing, and the queue is full", exchange.ended_at)
        else:
            self._queue.append(exchange)

    def reopen(self) -> None:
        """Go on in a new file, if the old one was moved away; what was recorded before this may go there too."""
        self._reopen = True

    def close(self) -> None:
        """Have `run` write what waits, and return."""
        self._closing.set()

    async def run(self) -> None:
        """Write what is recorded until `close`. Cancelling drops what waits, and leaves a write that hangs behind."""
        under_way = 0
        try:
            closing = False
            while not closing:
                with trio.move_on_after(INTERVAL):
                    await self._closing.wait()
                closing = self._closing.is_set()
                while self._queue or self._reopen:
                    reopen, self._reopen = self._reopen, False
                    under_way = len(self._queue)
                    records = await self._records()
                    await self._write(records, reopen)
                    under_way = 0
        finally:
            lost = max(under_way, len(self._queue))
            if lost:
                self._complain_at = 0.0
                self._drop(lost, "the agent has ended before they were written", trio.current_time())

    async def _records(self) -> list[bytes]:
        """Make the records of all that waits now."""
        to_epoch, make, queue = self._to_epoch(), self._make, self._queue
        records: list[bytes] = []
        for number in range(len(queue)):
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()
            try:
                records.append(make(queue[0], to_epoch))
            except Exception:
                log.exception("a bug: a request is not in the access log", router=self.router)
                self._counts["dropped"] += 1
            queue.popleft()
        return records

    async def _write(self, records: list[bytes], reopen: bool) -> None:
        def write() -> tuple[int, str | None]:
            if reopen:
                self._sink.reopen()
            return self._sink.write(records)

        written, why = await trio.to_thread.run_sync(write, abandon_on_cancel=True, limiter=self._thread)
        self._counts["written"] += written
        if why is not None:
            self._drop(len(records) - written, why, trio.current_time())

    def _drop(self, count: int, why: str, now: float) -> None:
        """Count what is not written, and say so now and then."""
        self._counts["dropped"] += count
        self._unsaid += count
        if now >= self._complain_at:
            self._complain_at = now + QUIET
            unsaid, self._unsaid = self._unsaid, 0
            log.error("the access log cannot be written", router=self.router, lines_dropped=unsaid, why=why)


def make_writer(
    config: AccessLog, router: str, *, counts: Counter[str], to_epoch: Callable[[], float], rng: Random
) -> AccessLogWriter:
    """Return the access log of a router as the configuration wants it. Nothing is opened yet."""
    make: Format = json_line if config.line_format == "json" else combined_line
    if config.to == "journald":
        make = journal_entry(make)
    wanted = wanted_by(config, rng)
    return AccessLogWriter(router, open_sink(config.to), make, wanted=wanted, counts=counts, to_epoch=to_epoch)


def wanted_by(config: AccessLog, rng: Random) -> Wanted:
    """Return what tells whether a request is logged."""
    slow, rate, only = config.slow_seconds, config.sample_rate, config.only

    def wanted(exchange: Exchange) -> bool:
        if only == "failures" and not exchange.failed:
            return False
        if only == "slow" and exchange.answered_at - exchange.received_at < slow:
            return False
        return rate >= 1.0 or rng.random() < rate

    return wanted
