"""What a backend is told of the trace, and that it is what is noted of the attempt."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import trio

from balancer.hedge import HedgeParams
from nodeagent.proxy.attemptspan import under_own_spans
from nodeagent.proxy.server import ServerLimits
from nodeagent.telemetry.exchange import Exchange
from nodeagent.telemetry.trace import Trace, carried, parse_b3, parse_b3_fields, parse_l5d, parse_traceparent
from nodeagent.tracing import make_trace
from tests.nodeagent.proxy.test_hedge import AFTER, says, taught
from tests.nodeagent.proxy.world import CLOSE, OK, Backend, World

W3C = b"traceparent: 00-%032x-%016x-01\r\ntracestate: a=1\r\n" % (1 << 64 | 7, 8)
B3 = b"b3: %032x-%016x-1\r\n" % (1 << 64 | 7, 8)
B3_FIELDS = b"x-b3-traceid: %032x\r\nx-b3-spanid: %016x\r\nx-b3-sampled: 1\r\n" % (1 << 64 | 7, 8)
FAILS = b"HTTP/1.1 503 Busy\r\nl5d-retryable: true\r\nContent-Length: 0\r\n\r\n"


def world(dtab: str = "/svc/web => /#/pool", hedging: HedgeParams | None = None) -> World:
    rng = random.Random(3)
    trace = make_trace(rng, b3=False)
    return World(dtab=dtab, trace=trace, around=under_own_spans(rng), hedging=hedging)


def request(trace: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: web\r\n" + trace + b"\r\n"


def told(seen: bytes) -> list[Trace]:
    """The trace that a request brings, in each of the forms that it has."""
    pairs = (line.partition(b": ") for line in seen.split(b"\r\n")[1:])
    fields = {name: value for name, _, value in pairs}
    found = [
        parse_l5d(fields[b"l5d-ctx-trace"]),
        parse_traceparent(fields[b"traceparent"]),
        parse_b3(fields.get(b"b3", b"")),
        parse_b3_fields(fields),
    ]
    return [each for each in found if isinstance(each, Trace)]


async def over(it: World) -> Exchange:
    with trio.fail_after(5):
        while not it.told:
            await trio.sleep(0.001)
    return it.told[0]


@pytest.mark.parametrize(
    ("trace", "forms"),
    [
        pytest.param(W3C, 2, id="W3C"),
        pytest.param(B3, 3, id="B3"),
        pytest.param(B3_FIELDS, 3, id="B3 in several fields"),
        pytest.param(b"l5d-sample: 1\r\n", 2, id="begun here"),
    ],
)
async def test_each_attempt_has_a_span_of_its_own_in_all_forms(trace: bytes, forms: int) -> None:
    backends = [Backend([FAILS, OK]), Backend([FAILS, OK]), Backend([FAILS, OK])]
    async with world().running(*backends) as it:
        answer = await it.ask(request(trace))
        exchange = await over(it)
    above = carried(exchange.trace)
    below = {attempt.endpoint.port: attempt.span_id for attempt in exchange.attempts}

    assert (answer.status, len(exchange.attempts)) == (200, 4)
    assert answer.get("l5d-reqid") == f"{above.trace_id & (1 << 64) - 1:016x}"
    assert len({above.span_id, *(attempt.span_id for attempt in exchange.attempts)}) == 5
    for backend in backends:
        brought = told(backend.seen[-1])
        assert len(brought) == forms
        assert {each.span_id for each in brought} == {below[backend.port]}
        assert brought[0].parent_id == above.span_id
        assert {each.sampled for each in brought} == {True}
        assert (b"tracestate: a=1" in backend.seen[0]) is (trace is W3C)


async def test_a_copy_has_another_span_than_the_attempt_that_it_is_of() -> None:
    seen: list[bytes] = []

    async def first_hangs(stream: trio.SocketStream, request: bytes) -> bool | None:
        seen.append(request)
        if len(seen) == 1:
            assert await stream.receive_some() == b""
            return None
        return await says(OK)(stream)

    backends = [Backend([first_hangs]), Backend([first_hangs])]
    async with world(hedging=HedgeParams(max_extra=1.0)).running(*backends) as it:
        await taught(it, delay=AFTER)
        await it.ask(request(W3C))
        exchange = await over(it)

    (first,), (copy,) = ([each for each in exchange.attempts if each.copy is kind] for kind in (False, True))
    assert [{each.span_id for each in told(message)} for message in seen] == [{first.span_id}, {copy.span_id}]
    assert first.span_id != copy.span_id
    assert {told(message)[0].parent_id for message in seen} == {carried(exchange.trace).span_id}


async def test_a_trial_has_a_span_too() -> None:
    dead, other = Backend([CLOSE]), Backend()
    async with world("/svc/web => /$/inet/127.0.0.1/{0} | /$/inet/127.0.0.1/{1}").running(dead, other) as it:
        with trio.fail_after(20):
            while not other.seen:
                await it.ask(request(b""))
            dead.replies = (OK,)
            it.told.clear()
            while not [each for each in it.told if each.attempts[0].endpoint.port == dead.port]:
                await it.ask(request(W3C))
                await trio.sleep(0.05)
    trial = it.told[-1].attempts[0]

    assert told(dead.seen[-1])[0].span_id == trial.span_id != 0


async def test_a_request_that_is_not_recorded_goes_on_as_it_is() -> None:
    async with world().running(Backend()) as it:
        await it.ask(request(W3C.replace(b"-01\r\n", b"-00\r\n")))
        exchange = await over(it)

    assert exchange.trace in it.backends[0].seen[0]
    assert [attempt.span_id for attempt in exchange.attempts] == [0]


async def test_when_a_name_was_waited_for() -> None:
    async with world().running(Backend()) as it:
        await it.ask(request(W3C))
        await it.ask(request(W3C))
        with trio.fail_after(5):
            while len(it.told) < 2:
                await trio.sleep(0.001)
    first, second = it.told

    assert first.received_at <= first.bound_at <= first.attempts[0].started
    assert second.bound_at == 0.0


async def test_what_is_refused_at_the_door_has_an_id() -> None:
    async with replace(world(), limits=ServerLimits(concurrent=0)).running(Backend()) as it:
        answer = await it.ask(request(W3C))
        exchange = await over(it)

    assert (answer.status, answer.get("l5d-reqid")) == (503, f"{7:016x}")
    assert carried(exchange.trace).parent_id == 8
