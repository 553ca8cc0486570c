"""The queue before a sink: nothing waits for it, and what is not written is counted."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio

from conf.accesslog import AccessLog
from nodeagent.accesslog.writer import INTERVAL, QUEUE, AccessLogWriter, wanted_by
from nodeagent.telemetry.exchange import Exchange
from tests.nodeagent.accesslog.exchanges import PLAIN, REFUSED


class Kept:
    """A sink that keeps what it is given, when it is let."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.reopened = 0
        self.why: str | None = None
        self.let = threading.Event()
        self.let.set()

    def write(self, records: Sequence[bytes]) -> tuple[int, str | None]:
        self.let.wait()
        if self.why is not None:
            return 0, self.why
        self.records += records
        return len(records), None

    def reopen(self) -> None:
        self.reopened += 1


class Logged:
    """A writer with its sink."""

    def __init__(self) -> None:
        self.sink = Kept()
        self.counts: Counter[str] = Counter()
        self.writer = AccessLogWriter(
            "http", self.sink, shown, wanted=lambda _: True, counts=self.counts, to_epoch=lambda: 0.0
        )

    def record(self, *sizes: int) -> None:
        for size in sizes:
            self.writer.record(PLAIN._replace(sent=size))

    async def written(self, count: int) -> None:
        with trio.fail_after(10):
            while self.counts["written"] < count:
                await trio.sleep(0.01)


def shown(exchange: Exchange, to_epoch: float) -> bytes:
    assert exchange.sent >= 0
    return b"%d\n" % exchange.sent


@asynccontextmanager
async def logging() -> AsyncIterator[Logged]:
    logged = Logged()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(logged.writer.run)
        try:
            yield logged
        finally:
            logged.sink.let.set()
            nursery.cancel_scope.cancel()


async def test_what_is_recorded_is_written_in_its_order_soon() -> None:
    async with logging() as it:
        it.record(*range(100))
        await it.written(100)

        assert it.sink.records == [b"%d\n" % number for number in range(100)]
        assert it.counts == {"written": 100}


async def test_requests_of_other_routers_are_not() -> None:
    async with logging() as it:
        it.writer.record(PLAIN._replace(router="other"))
        it.record(1)
        await it.written(1)

        assert it.sink.records == [b"1\n"]


async def test_a_sink_that_hangs_costs_a_bounded_queue_and_what_is_dropped_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with logging() as it:
        it.sink.let.clear()
        it.record(0)
        await trio.sleep(INTERVAL * 2)
        it.record(*range(1, QUEUE + 51))
        assert it.counts == {"dropped": 50}
        it.sink.let.set()
        await it.written(QUEUE + 1)

        assert it.sink.records[-1] == b"%d\n" % QUEUE


async def test_what_fails_is_counted_and_said_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    async with logging() as it:
        it.sink.why = "log: no space left on device"
        for number in range(3):
            it.record(number)
            with trio.fail_after(10):
                while it.counts["dropped"] <= number:
                    await trio.sleep(0.01)

    assert capsys.readouterr().out.count("no space left on device") == 1


async def test_a_bug_takes_one_line_and_not_the_log() -> None:
    async with logging() as it:
        it.record(-1, 7)
        await it.written(1)

        assert it.sink.records == [b"7\n"]
        assert it.counts == {"dropped": 1, "written": 1}


async def test_the_file_is_opened_anew_though_there_is_nothing_to_write() -> None:
    async with logging() as it:
        it.writer.reopen()
        with trio.fail_after(10):
            while not it.sink.reopened:
                await trio.sleep(0.01)


async def test_at_the_end_all_that_waits_is_written() -> None:
    logged = Logged()
    logged.record(1, 2, 3)
    logged.writer.close()
    await logged.writer.run()

    assert logged.sink.records == [b"1\n", b"2\n", b"3\n"]


async def test_a_sink_that_hangs_holds_up_the_end_no_longer_than_it_is_given() -> None:
    logged = Logged()
    logged.sink.let.clear()
    logged.record(1, 2, 3)
    logged.writer.close()
    with trio.move_on_after(0.1):
        await logged.writer.run()
    logged.sink.let.set()

    assert logged.counts == {"dropped": 3}


SLOW = PLAIN._replace(answered_at=PLAIN.received_at + 0.5)


@pytest.mark.parametrize(
    ("config", "logged"),
    [
        (AccessLog(to="stdout"), [PLAIN, REFUSED, SLOW]),
        (AccessLog(to="stdout", only="failures"), [REFUSED]),
        (AccessLog(to="stdout", only="slow", slow_ms=300), [SLOW]),
        (AccessLog(to="stdout", only="slow"), []),
        (AccessLog(to="stdout", sample_rate=0.0), []),
    ],
    ids=["all", "failures", "slow", "slower", "none"],
)
def test_which_requests(config: AccessLog, logged: list[Exchange]) -> None:
    wanted = wanted_by(config, random.Random(1))
    assert [each for each in (PLAIN, REFUSED, SLOW) if wanted(each)] == logged


def test_a_part_of_them() -> None:
    wanted = wanted_by(AccessLog(to="stdout", sample_rate=0.25), random.Random(1))
    assert 200 < sum(wanted(PLAIN) for _ in range(1000)) < 300
