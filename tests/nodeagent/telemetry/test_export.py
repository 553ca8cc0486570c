"""A collector may take, hang, fail or come back: requests never wait for it, and memory has a bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from nodeagent.telemetry.export import BATCH, PIECE, DeliveryError, SpanExporter, over_http
from nodeagent.telemetry.spans import Kind, Span
from tests.nodeagent.proxy.world import Backend, free_port
from tests.nodeagent.telemetry.test_spans import ROOT, attempt, exchange

TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def refusal(status: int) -> bytes:
    return b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status


def span(number: int = 1) -> Span:
    return Span(number, number, None, "GET", Kind.SERVER, 0.0, 1.0, {}, None)


class Way:
    """Delivers as the test says, step by step; the last step is for ever."""

    def __init__(self, *steps: Callable[[], None] | None) -> None:
        self.steps = steps
        self.batches: list[Sequence[Span]] = []
        self.tries = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Callable[[Sequence[Span]], object]]:
        yield self.deliver

    async def deliver(self, batch: Sequence[Span]) -> None:
        self.tries += 1
        step = self.steps[min(self.tries, len(self.steps)) - 1]
        if step is None:
            await trio.sleep_forever()
        else:
            step()
            self.batches.append(batch)


def takes() -> None: ...


def fails(transient: bool) -> Callable[[], None]:
    def fail() -> None:
        raise DeliveryError("no", transient=transient)

    return fail


def breaks() -> None:
    raise RuntimeError("a bug")


def exporter(way: Way, counts: Counter[str], queue: int = 4) -> SpanExporter:
    return SpanExporter("here", way.connect, spans_of=lambda _: [span()], counts=counts, queue=queue)  # type: ignore[arg-type]


OVER = exchange()


async def test_spans_that_come_together_go_together(autojump_clock: MockClock) -> None:
    way, counts = Way(takes), Counter[str]()
    async with trio.open_nursery() as nursery:
        it = exporter(way, counts)
        nursery.start_soon(it.run)
        for _ in range(3):
            it.record(OVER)
        await trio.sleep(2)
        it.record(OVER)
        it.close()
        await it.ended()

    assert [len(batch) for batch in way.batches] == [3, 1]
    assert counts == {"exported": 4}


async def test_a_batch_has_a_bound(autojump_clock: MockClock) -> None:
    way, counts = Way(takes), Counter[str]()
    it = exporter(way, counts, queue=2 * BATCH)
    for _ in range(BATCH + 1):
        it.record(OVER)
    it.close()
    await it.run()

    assert [len(batch) for batch in way.batches] == [BATCH, 1]


async def test_one_that_hangs_fills_the_queue_and_the_rest_is_dropped_at_once(autojump_clock: MockClock) -> None:
    way, counts = Way(None), Counter[str]()
    async with trio.open_nursery() as nursery:
        it = exporter(way, counts)
        nursery.start_soon(it.run)
        it.record(OVER)
        await trio.sleep(2)
        before = trio.current_time()
        for _ in range(4):
            it.record(OVER)
        assert counts == {}
        for _ in range(10):
            it.record(exchange(attempt(), attempt(), bound_at=1.0))
        assert trio.current_time() == before
        nursery.cancel_scope.cancel()

    assert counts == {"dropped": 40}
    assert way.tries == 1


@pytest.mark.parametrize(
    ("steps", "counts", "tries"),
    [
        pytest.param([fails(True), takes], {"exported": 2}, 3, id="it comes back"),
        pytest.param([fails(False), takes], {"failed": 1, "exported": 1}, 2, id="what it will never take"),
        pytest.param([*[fails(True)] * 4, takes], {"failed": 1, "exported": 1}, 5, id="it is away for long"),
        pytest.param([breaks, takes], {"failed": 1, "exported": 1}, 2, id="a bug here"),
    ],
)
async def test_what_is_not_taken(
    steps: list[Callable[[], None]], counts: dict[str, int], tries: int, autojump_clock: MockClock
) -> None:
    way, counted = Way(*steps), Counter[str]()
    async with trio.open_nursery() as nursery:
        it = exporter(way, counted)
        nursery.start_soon(it.run)
        it.record(OVER)
        await trio.sleep(30)
        it.record(OVER)
        await trio.sleep(30)
        nursery.cancel_scope.cancel()

    assert counted == counts
    assert way.tries == tries


async def test_at_the_end_nothing_is_waited_for(autojump_clock: MockClock) -> None:
    way, counts = Way(fails(True)), Counter[str]()
    async with trio.open_nursery() as nursery:
        it = exporter(way, counts)
        nursery.start_soon(it.run)
        it.record(OVER)
        await trio.sleep(1.5)
        before = trio.current_time()
        it.close()
        await it.ended()
        assert trio.current_time() == before
        it.record(OVER)

    assert counts == {"failed": 1, "dropped": 1}


async def test_a_bug_in_one_request_takes_no_other_along(autojump_clock: MockClock) -> None:
    asked: list[object] = []

    def spans_of(exchange: object) -> list[Span]:
        asked.append(exchange)
        if len(asked) == 1:
            raise RuntimeError("a bug")
        return [span()]

    way, counts = Way(takes), Counter[str]()
    it = SpanExporter("here", way.connect, spans_of=spans_of, counts=counts)  # type: ignore[arg-type]
    it.record(OVER)
    it.record(OVER)
    it.close()
    await it.run()

    assert counts == {"exported": 1}


async def test_what_is_not_recorded_is_not_queued() -> None:
    way, counts = Way(takes), Counter[str]()
    it = exporter(way, counts)
    for trace in (b"", ROOT.replace(b"-01\r\n", b"-00\r\n")):
        it.record(exchange(trace=trace))
    it.close()
    await it.run()

    assert (counts, way.batches) == ({}, [])


# -- over real HTTP -------------------------------------------------------------------------------------------


class Counting:
    """Says only how many spans there are."""

    def encode(self, spans: Sequence[Span]) -> bytes:
        return b"%d" % len(spans)

    def join(self, bodies: Sequence[bytes]) -> bytes:
        return b"+".join(bodies)


def http(port: int, counts: Counter[str], timeout: float = 5.0) -> SpanExporter:
    way = over_http(f"http://127.0.0.1:{port}", "/x", Counting(), headers={}, timeout=timeout)
    return SpanExporter("it", way, spans_of=lambda _: [span()], counts=counts, pauses=(0.01, 0.01, 0.01))


@pytest.mark.parametrize(
    ("replies", "counts", "tries"),
    [
        ([TAKEN], {"exported": 1}, 1),
        ([refusal(503), refusal(429), TAKEN], {"exported": 1}, 3),
        ([refusal(400)], {"failed": 1}, 1),
        ([b"", TAKEN], {"exported": 1}, 2),
    ],
    ids=["taken", "later", "never", "it breaks the connection"],
)
async def test_what_a_collector_answers(replies: list[bytes], counts: dict[str, int], tries: int) -> None:
    collector, counted = Backend(replies), Counter[str]()
    async with trio.open_nursery() as nursery:
        await nursery.start(collector.run)
        it = http(collector.port, counted)
        nursery.start_soon(it.run)
        it.record(OVER)
        with trio.fail_after(10):
            while not counted:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()

    assert (counted, len(collector.seen)) == (counts, tries)
    assert {each.partition(b"\r\n\r\n")[2] for each in collector.seen} == {b"1"}


async def test_a_large_batch_is_one_request_and_made_in_pieces() -> None:
    collector, counted = Backend([TAKEN]), Counter[str]()
    async with trio.open_nursery() as nursery:
        await nursery.start(collector.run)
        it = http(collector.port, counted)
        for _ in range(2 * PIECE + 1):
            it.record(OVER)
        it.close()
        await it.run()
        nursery.cancel_scope.cancel()

    assert [each.partition(b"\r\n\r\n")[2] for each in collector.seen] == [b"%d+%d+1" % (PIECE, PIECE)]


async def test_a_collector_may_be_below_a_path() -> None:
    collector, counted = Backend([TAKEN]), Counter[str]()
    async with trio.open_nursery() as nursery:
        await nursery.start(collector.run)
        way = over_http(
            f"http://127.0.0.1:{collector.port}/otel", "/v1/traces", Counting(), headers={"key": "k"}, timeout=5
        )
        it = SpanExporter("it", way, spans_of=lambda _: [span()], counts=counted)
        it.record(OVER)
        it.close()
        await it.run()
        nursery.cancel_scope.cancel()

    assert collector.seen[0].startswith(b"POST /otel/v1/traces HTTP/1.1\r\n")
    assert b"\r\nkey: k\r\n" in collector.seen[0]


async def test_one_that_was_not_there_is_found_when_it_comes() -> None:
    port, counted = free_port(), Counter[str]()
    async with trio.open_nursery() as nursery:
        it = http(port, counted)
        nursery.start_soon(it.run)
        it.record(OVER)
        with trio.fail_after(10):
            while not counted["failed"]:
                await trio.sleep(0.01)
        collector = Backend([TAKEN], port=port)
        await nursery.start(collector.run)
        it.record(OVER)
        with trio.fail_after(10):
            while not counted["exported"]:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()

    assert counted == {"failed": 1, "exported": 1}


async def test_one_that_says_nothing_has_a_limit() -> None:
    async def hang(stream: trio.SocketStream, message: bytes) -> None:
        await trio.sleep_forever()

    collector, counted = Backend([hang]), Counter[str]()
    async with trio.open_nursery() as nursery:
        await nursery.start(collector.run)
        it = http(collector.port, counted, timeout=0.05)
        nursery.start_soon(it.run)
        it.record(OVER)
        with trio.fail_after(20):
            while not counted:
                await trio.sleep(0.01)
        await wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()

    assert (counted, len(collector.seen)) == ({"failed": 1}, 4)
