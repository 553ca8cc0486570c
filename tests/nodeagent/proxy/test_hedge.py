"""Attempts that take long get a copy at another endpoint; the first good answer wins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from balancer.hedge import HedgeParams
from balancer.params import BalancerParams, RetryBudgetParams
from balancer.response_class import ResponseClass
from namer.path import Path
from nodeagent.proxy.alarms import Alarms
from nodeagent.proxy.balance import Client, ClientPolicy
from nodeagent.proxy.classify import Classify
from nodeagent.proxy.hedge import Hedges
from nodeagent.proxy.messages import Request, Response
from nodeagent.proxy.rehost import Send
from nodeagent.proxy.service import Service
from tests.nodeagent.proxy.world import CLOSE, OK, Answer, Backend, World
from tls.peer import Peer

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
FIRST = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"
COPY = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ncopy"
BAD = b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nbad"
RETRYABLE = b"HTTP/1.1 503 Busy\r\nl5d-retryable: true\r\nContent-Length: 4\r\n\r\nbusy"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

AFTER = 0.03
"""Seconds until the copy, as taught."""

PATIENT = 0.3
"""The same where something must come before, even on a machine that stalls."""

Step = Callable[[trio.SocketStream], Awaitable[bool]]


@dataclass
class Turns:
    """Endpoints that do one step for each request, in the order in which requests arrive, at whichever it is."""

    steps: Sequence[Step]
    endpoints: int = 2
    arrived: int = 0
    both: trio.Event = field(default_factory=trio.Event)
    """Set when the second request has arrived."""
    cut: int = 0
    """Connections that the agent closed on a request."""

    def __post_init__(self) -> None:
        self.backends = [Backend((self._reply,)) for _ in range(self.endpoints)]

    async def _reply(self, stream: trio.SocketStream, request: bytes) -> bool | None:
        self.arrived += 1
        if self.arrived == 2:
            self.both.set()
        return await self.steps[min(self.arrived, len(self.steps)) - 1](stream) or None

    async def hang(self, stream: trio.SocketStream) -> bool:
        """Never answer."""
        assert await stream.receive_some() == b""
        self.cut += 1
        return False


def says(reply: bytes) -> Step:
    """Answer, or close."""

    async def step(stream: trio.SocketStream) -> bool:
        await stream.send_all(reply)
        return reply != CLOSE

    return step


def after(event: trio.Event, step: Step, settled: bool = False) -> Step:
    """Do it once that has happened; `settled`: and the agent has done with it."""

    async def later(stream: trio.SocketStream) -> bool:
        await event.wait()
        if settled:
            await wait_all_tasks_blocked(0.02)
        return await step(stream)

    return later


def world(**turned: object) -> World:
    return World(dtab="/svc/web => /#/pool", hedging=HedgeParams(max_extra=1.0), **turned)  # type: ignore[arg-type]


async def taught(it: World, budget: int = 1000, delay: float = AFTER) -> Service:
    """Have the service know its delay, and its budget hold the deposits of so many requests."""
    service = await it.router.bindings.service(Path.parse("/svc/web"), None)
    assert service.hedges is not None
    now = trio.current_time()
    for each in service.hedges.delays.values():
        for _ in range(200):
            each.answered(delay, now)
        each.delay(now)
    for _ in range(budget):
        service.hedges.budget.deposit(now)
    return service


async def nothing_is_left(it: World) -> None:
    """No request is under way, and no connection is open that cannot serve another."""
    await wait_all_tasks_blocked(0.01)
    for client in it.router.bindings.clients.values():
        nodes = client.balancer.nodes
        idle = sum(len(node.pool.idle) for node in nodes)  # type: ignore[attr-defined, misc]
        pending = sum(node.pending for node in nodes)
        assert (client.stats.pending, pending, client.connections) == (0, 0, idle)
        assert client.stats.connections == idle
    assert not [alarm for _, _, alarm in it.alarms._set if not alarm.off]


async def test_a_copy_that_is_answered_first_wins_and_the_other_is_cancelled() -> None:
    turns = Turns([])
    turns.steps = [turns.hang, says(COPY)]
    async with world().running(*turns.backends) as it:
        service = await taught(it)
        answer = await it.ask(GET)
        await nothing_is_left(it)

        assert (answer.status, answer.body, turns.arrived, turns.cut) == (200, b"copy", 2, 1)
        assert [len(backend.seen) for backend in turns.backends] == [1, 1]
        assert turns.backends[0].seen == turns.backends[1].seen
        assert service.stats.hedges == Counter(won=1)
        assert service.stats.success == 1
        assert service.stats.hedge_delay == pytest.approx(AFTER, rel=0.05)


async def test_a_copy_that_is_not_answered_first_is_cancelled() -> None:
    turns = Turns([])
    turns.steps = [after(turns.both, says(FIRST)), turns.hang]
    async with world().running(*turns.backends) as it:
        service = await taught(it)
        answer = await it.ask(GET)
        await nothing_is_left(it)

        assert (answer.body, turns.cut, service.stats.hedges) == (b"first", 1, Counter(lost=1))


@pytest.mark.parametrize(
    ("first", "copy", "first_ends_first", "status", "body", "result"),
    [
        pytest.param(CLOSE, COPY, True, 200, b"copy", "won", id="the first breaks, the copy is waited for"),
        pytest.param(RETRYABLE, COPY, True, 200, b"copy", "won", id="the first may be retried, the copy is waited for"),
        pytest.param(RETRYABLE, CLOSE, True, 503, b"busy", "failed", id="and if that breaks, it is the first's"),
        pytest.param(RETRYABLE, BAD, True, 503, b"busy", "failed", id="or is no better"),
        pytest.param(CLOSE, BAD, True, 502, b"", "failed", id="both fail, the first by breaking"),
        pytest.param(CLOSE, CLOSE, True, 502, b"", "failed", id="both break"),
        pytest.param(CLOSE, CLOSE, False, 502, b"", "failed", id="both break, the copy first"),
        pytest.param(FIRST, CLOSE, False, 200, b"first", "failed", id="the copy breaks, the first is waited for"),
        pytest.param(FIRST, BAD, False, 200, b"first", "failed", id="a bad answer to the copy is none"),
        pytest.param(BAD, COPY, True, 500, b"bad", "lost", id="a final answer to the first is final"),
    ],
)
async def test_when_one_fails_while_both_are_out(
    first: bytes, copy: bytes, first_ends_first: bool, status: int, body: bytes, result: str
) -> None:
    turns = Turns([])
    order = [after(turns.both, says(first)), after(turns.both, says(copy), settled=True)]
    if not first_ends_first:
        order = [after(turns.both, says(first), settled=True), after(turns.both, says(copy))]
    turns.steps = order
    without_retries = RetryBudgetParams(min_per_sec=0, percent_can_retry=0.0)
    async with world(budget=without_retries).running(*turns.backends) as it:
        service = await taught(it)
        answer = await it.ask(GET)
        await nothing_is_left(it)

        assert (answer.status, turns.arrived) == (status, 2)
        assert answer.body == body or status == 502
        assert service.stats.hedges == Counter({result: 1})


async def test_when_both_fail_the_request_is_tried_again_at_yet_another_endpoint() -> None:
    turns = Turns([], endpoints=3)
    turns.steps = [after(turns.both, says(CLOSE)), after(turns.both, says(CLOSE)), _hints_then_slowly]
    async with world(client=ClientPolicy(balancer=BalancerParams("p2c"))).running(*turns.backends) as it:
        service = await taught(it, delay=PATIENT)
        answers = await _all(it)
        await nothing_is_left(it)

        assert [answer.status for answer in answers] == [103, 200]
        assert [len(backend.seen) for backend in turns.backends] == [1, 1, 1]
        assert service.stats.retries == Counter(http_response_incomplete=1)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(GET.replace(b"GET", b"DELETE"), id="not safe"),
        pytest.param(GET.replace(b"GET", b"TRACE"), id="for diagnosis"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\n\r\nx", id="POST"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\n\r\nx", id="with a body"),
    ],
)
async def test_what_is_never_sent_twice(request_: bytes) -> None:
    turns = Turns([_slowly])
    async with world().running(*turns.backends) as it:
        service = await taught(it)
        answer = await it.ask(request_)

        assert (answer.body, turns.arrived, service.stats.hedges) == (b"first", 1, Counter())


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
async def test_what_may_be_sent_twice(method: bytes) -> None:
    turns = Turns([])
    turns.steps = [turns.hang, says(b"HTTP/1.1 204 No Content\r\n\r\n")]
    async with world().running(*turns.backends) as it:
        await taught(it)
        answer = await it.ask(GET.replace(b"GET", method), method=method.decode())

        assert (answer.status, turns.cut) == (204, 1)


async def test_without_budget_no_copy_goes_out() -> None:
    turns = Turns([_slowly])
    async with world().running(*turns.backends) as it:
        it.hedging = HedgeParams(max_extra=0.05)
        service = await taught(it, budget=0)
        for _ in range(3):
            assert (await it.ask(GET)).body == b"first"

        assert (turns.arrived, service.stats.hedges, service.stats.hedge_budget_exhausted) == (3, Counter(), 3)


async def test_a_retry_pays_nothing_into_the_budget() -> None:
    turns = Turns([says(CLOSE), says(OK)])
    async with world().running(*turns.backends) as it:
        it.hedging = HedgeParams(max_extra=0.5)
        service = await taught(it, budget=0)
        await it.ask(GET)

        assert turns.arrived == 2
        assert service.hedges is not None
        now = trio.current_time()
        assert service.hedges.budget.balance(now) == 0
        service.hedges.budget.deposit(now)
        assert service.hedges.budget.balance(now) == 1


@pytest.mark.parametrize("unusable", ["dead", "of a worse priority", "gone"])
async def test_another_endpoint_must_be_usable(unusable: str) -> None:
    turns = Turns([_slowly])
    async with world().running(*turns.backends) as it:
        await taught(it)
        (client,) = it.router.bindings.clients.values()
        _make(client, unusable)
        answer = await it.ask(GET)
        await nothing_is_left_of(client)

        assert (answer.body, turns.arrived) == (b"first", 1)


def _make(client: Client, unusable: str) -> None:
    now = trio.current_time()
    best, other = client.balancer.nodes
    if unusable == "dead":
        client.balancer.begin(other, now)
        client.balancer.end(other, now, now, ResponseClass.REFUSED)
    elif unusable == "of a worse priority":
        client.balancer.update([best.endpoint, replace(other.endpoint, priority=1)], now)
    else:
        client.balancer.update([best.endpoint], now)


async def nothing_is_left_of(client: Client) -> None:
    await wait_all_tasks_blocked(0.01)
    assert [node.pending for node in client.balancer.nodes if node.pending] == []


async def test_a_caller_that_goes_away_cancels_both() -> None:
    turns = Turns([])
    turns.steps = [turns.hang, turns.hang]
    async with world().running(*turns.backends) as it:
        service = await taught(it)
        caller = await it.connect()
        await caller.send(GET)
        await turns.both.wait()
        await trio.sleep(0.12)  # a close within 100 ms may be that of a caller who only has no more to send
        await caller.stream.aclose()
        with trio.fail_after(5):
            while turns.cut < 2:
                await trio.sleep(0.005)
        await nothing_is_left(it)

        assert (service.stats.hedges, service.stats.pending) == (Counter(lost=1), 0)


async def test_the_total_time_ends_both() -> None:
    turns = Turns([])
    turns.steps = [turns.hang, turns.hang]
    async with world(total_timeout=0.2).running(*turns.backends) as it:
        await taught(it)
        answer = await it.ask(GET)
        await nothing_is_left(it)

        assert (answer.status, turns.cut) == (504, 2)


async def test_each_attempt_has_its_own_time() -> None:
    turns = Turns([])
    turns.steps = [turns.hang, after(turns.both, _slowly)]
    async with world(client=ClientPolicy(attempt_timeout=0.12)).running(*turns.backends) as it:
        await taught(it)
        answer = await it.ask(GET)
        await nothing_is_left(it)

        assert (answer.status, answer.body) == (200, b"first")


@pytest.mark.parametrize("streamed", [False, True])
async def test_answers_that_race_are_not_mixed(streamed: bool) -> None:
    """Both arrive in the same moment, time and again, on a connection that is kept."""
    if streamed:
        replies = [CHUNKED + b"5\r\n" + each * 5 + b"\r\n0\r\n\r\n" for each in (b"a", b"b")]
    else:
        replies = [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + each * 5 for each in (b"a", b"b")]
    waiting: list[trio.Event] = []

    async def together(stream: trio.SocketStream, request: bytes) -> bool | None:
        mine = len(waiting)
        waiting.append(trio.Event())
        if mine == 1:
            for each in waiting:
                each.set()
        await waiting[mine].wait()
        with trio.CancelScope(shield=True):
            try:
                await stream.send_all(replies[mine % 2])
            except trio.BrokenResourceError:
                return None
        return True

    backends = Backend((together,)), Backend((together,))
    async with world().running(*backends) as it:
        service = await taught(it)
        caller = await it.connect()
        bodies = []
        for _ in range(40):
            await caller.send(GET)
            answer = await caller.answer()
            bodies.append(answer.body)
            assert answer.whole
            await wait_all_tasks_blocked(0.002)
            waiting.clear()
        assert caller.buffer == b""
        await caller.stream.aclose()
        await nothing_is_left(it)

        assert set(bodies) <= {b"aaaaa", b"bbbbb"}
        assert sum(service.stats.hedges.values()) == 40
        assert service.stats.hedges["won"] == bodies.count(b"bbbbb")
        assert service.stats.success == 40


@pytest.mark.parametrize("winner", ["first", "copy"])
async def test_a_response_that_streams_wins_with_its_head(winner: str) -> None:
    turns = Turns([])
    streamed = after(turns.both, _in_pieces)
    turns.steps = [streamed, turns.hang] if winner == "first" else [turns.hang, streamed]
    async with world().running(*turns.backends) as it:
        await taught(it)
        caller = await it.connect()
        await caller.send(GET)
        with trio.fail_after(5):
            while not turns.cut:
                await trio.sleep(0.005)
        assert turns.cut == 1  # before the body has ended
        answer = await caller.answer()
        await caller.stream.aclose()
        await nothing_is_left(it)

        assert (answer.body, answer.whole) == (b"one two", True)


async def test_a_streamed_answer_that_loses_is_closed() -> None:
    turns = Turns([])
    turns.steps = [after(turns.both, says(FIRST), settled=True), after(turns.both, _endless_500)]
    async with world().running(*turns.backends) as it:
        service = await taught(it)
        answer = await it.ask(GET)
        await nothing_is_left(it)

        assert (answer.body, service.stats.hedges) == (b"first", Counter(failed=1))


async def test_an_endpoint_that_has_hinted_is_not_raced() -> None:
    turns = Turns([_hints_then_slowly])
    async with world().running(*turns.backends) as it:
        await taught(it, delay=PATIENT)
        answers = await _all(it)

        assert ([each.status for each in answers], turns.arrived) == ([103, 200], 1)


async def test_hints_are_not_passed_on_while_it_is_open_whose_answer_it_will_be() -> None:
    turns = Turns([])
    turns.steps = [after(turns.both, _hints_then_slowly), after(turns.both, _hints_then_slowly)]
    async with world().running(*turns.backends) as it:
        await taught(it)
        answers = await _all(it)

        assert ([each.status for each in answers], turns.arrived) == ([200], 2)


async def test_both_endpoints_are_called_by_their_own_name() -> None:
    turns = Turns([])
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://own.example/x\r\nContent-Length: 0\r\n\r\n"
    turns.steps = [turns.hang, says(moved)]
    async with world(authority="own.example").running(*turns.backends) as it:
        await taught(it)
        answer = await it.ask(GET)

        assert answer.get("location") == "http://web/x"
        assert {backend.seen[0].split(b"\r\n")[1] for backend in turns.backends} == {b"Host: own.example"}


async def test_both_endpoints_are_told_who_calls() -> None:
    caller = Peer(
        "spiffe://mesh.example/host/db-7", datetime.max.replace(tzinfo=UTC), b"URI=spiffe://mesh.example/host/db-7"
    )
    seen: list[Peer | None] = []

    def noting(send: Send) -> Send:
        async def noted(request: Request, classify: Classify) -> Response:
            seen.append(request.client)
            request.client = caller  # as if its connection were one by TLS
            return await send(request, classify)

        return noted

    turns = Turns([])
    turns.steps = [turns.hang, says(COPY)]
    async with world(around=noting).running(*turns.backends) as it:
        await taught(it)
        await it.ask(GET)

        assert seen == [None, caller]


async def test_the_delay_is_learnt_from_the_requests() -> None:
    async with world().running(Backend(), Backend()) as it:
        caller = await it.connect()
        for _ in range(120):
            await caller.send(GET)
            await caller.answer()
        await caller.stream.aclose()
        service = await it.router.bindings.service(Path.parse("/svc/web"), None)
        assert service.hedges is not None
        (delay,) = service.hedges.delays.values()

        assert 0 < delay.delay(trio.current_time() + 1) < 1


def test_what_was_learnt_goes_on_when_a_name_is_bound_again() -> None:
    a, b, c = (Path.parse(f"/#/{name}") for name in "abc")
    params, alarms = HedgeParams(), Alarms()
    before = Hedges(params, alarms, [a, b], None)
    now = Hedges(params, alarms, [b, c], before)
    other = Hedges(HedgeParams(percentile=99.0), alarms, [b], before)

    assert (now.budget, now.delays[b], set(now.delays)) == (before.budget, before.delays[b], {b, c})
    assert other.budget is not before.budget
    assert other.delays[b] is not before.delays[b]


async def _all(it: World) -> list[Answer]:
    """All answers to a GET, 1xx included."""
    caller = await it.connect()
    async with caller.stream:
        await caller.send(GET)
        answers = [await caller.answer()]
        while answers[-1].status < 200:
            answers.append(await caller.answer())
        return answers


async def _slowly(stream: trio.SocketStream) -> bool:
    await trio.sleep(3 * AFTER)
    await stream.send_all(FIRST)
    return True


async def _hints_then_slowly(stream: trio.SocketStream) -> bool:
    await stream.send_all(HINTS)
    await trio.sleep(1.5 * PATIENT)
    await stream.send_all(FIRST)
    return True


async def _in_pieces(stream: trio.SocketStream) -> bool:
    await stream.send_all(CHUNKED + b"4\r\none \r\n")
    await trio.sleep(0.1)
    await stream.send_all(b"3\r\ntwo\r\n0\r\n\r\n")
    return True


async def _endless_500(stream: trio.SocketStream) -> bool:
    await stream.send_all(CHUNKED.replace(b"200 OK", b"500 Oops") + b"4\r\noops\r\n")
    assert await stream.receive_some() == b""
    return False
