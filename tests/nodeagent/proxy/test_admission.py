"""Who is let in, who waits, who is refused; and that each place is given back whatever happens."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from balancer.limiter import AdmissionParams, FixedParams, GradientLimit, GradientParams
from balancer.params import RetryBudgetParams
from namer.path import Path
from nodeagent.proxy.admission import Admission, LimitedService
from nodeagent.proxy.errors import Overloaded
from nodeagent.telemetry.stats import ServiceStats
from tests.nodeagent.proxy.world import CLOSE, OK, Answer, Backend, Held, World, free_port

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
WEB = Path.parse("/svc/web")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def admission(limit: int, max_waiters: int = 0, max_wait: float = 1.0) -> tuple[Admission, ServiceStats]:
    return Admission(WEB, AdmissionParams(FixedParams(limit), max_waiters, max_wait)), ServiceStats("out", "/svc/web")


async def test_one_more_than_the_limit_is_refused_at_once_and_told_why() -> None:
    gate, stats = admission(2)
    await gate.enter(stats)
    await gate.enter(stats)

    with pytest.raises(Overloaded) as caught:
        await gate.enter(stats)

    assert caught.value.message == "balance /svc/web: 2 requests are under way, as many as concurrency allows"
    assert (caught.value.retry_after, stats.rejected) == (1, {"queue_full": 1})
    gate.leave()
    await gate.enter(stats)
    assert (gate.in_flight, len(gate.waiters)) == (2, 0)


async def test_who_waits_is_let_in_in_order(autojump_clock: trio.testing.MockClock) -> None:
    gate, stats = admission(1, max_waiters=3, max_wait=100)
    order: list[int] = []

    async def caller(number: int) -> None:
        await trio.sleep(number / 10)
        await gate.enter(stats)
        order.append(number)
        await trio.sleep(1)
        gate.leave()

    async with trio.open_nursery() as nursery:
        for number in (2, 0, 3, 1):
            nursery.start_soon(caller, number)
        await trio.sleep(0.5)
        with pytest.raises(Overloaded, match="1 request is under way and 3 wait, as many as concurrency allows"):
            await gate.enter(stats)

    assert order == [0, 1, 2, 3]
    assert (gate.in_flight, len(gate.waiters), trio.current_time()) == (0, 0, 4.0)


async def test_nobody_overtakes_who_waits() -> None:
    gate, stats = admission(1, max_waiters=2)
    await gate.enter(stats)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.enter, stats)
        await trio.testing.wait_all_tasks_blocked()
        gate.leave()  # its place is given to who waits, before that task has run
        assert gate.in_flight == 1
        nursery.start_soon(gate.enter, stats)
        await trio.testing.wait_all_tasks_blocked()
        assert (gate.in_flight, len(gate.waiters)) == (1, 1)
        gate.leave()

    assert (gate.in_flight, len(gate.waiters)) == (1, 0)


async def test_a_wait_has_an_end(autojump_clock: trio.testing.MockClock) -> None:
    gate, stats = admission(1, max_waiters=1, max_wait=0.25)
    await gate.enter(stats)

    with pytest.raises(Overloaded, match="as many as concurrency allows; it waited 250 ms"):
        await gate.enter(stats)

    assert (trio.current_time(), stats.rejected) == (0.25, {"queue_timeout": 1})
    assert (gate.in_flight, len(gate.waiters)) == (1, 0)


@pytest.mark.parametrize("moment", ["waiting", "its turn has come", "its turn comes before it hears of it"])
async def test_a_cancelled_caller_gives_its_place_back(moment: str) -> None:
    gate, stats = admission(1, max_waiters=2)
    await gate.enter(stats)
    scope = trio.CancelScope()

    async def caller() -> None:
        with scope:
            await gate.enter(stats)
            try:
                await trio.sleep_forever()
            finally:
                gate.leave()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(caller)
        await trio.testing.wait_all_tasks_blocked()
        if moment == "its turn has come":
            gate.leave()
        scope.cancel()
        if moment == "its turn comes before it hears of it":
            gate.leave()

    assert (gate.in_flight, len(gate.waiters)) == (1 if moment == "waiting" else 0, 0)


async def test_a_limit_that_shrinks_lets_in_nobody_until_there_are_fewer() -> None:
    gate, stats = admission(3, max_waiters=1)
    for _ in range(3):
        await gate.enter(stats)
    gate.limit.value = 1  # type: ignore[misc]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.enter, stats)
        await trio.testing.wait_all_tasks_blocked()
        gate.leave()
        gate.leave()
        assert (gate.in_flight, len(gate.waiters)) == (1, 1)
        gate.leave()

    assert gate.reading().under_way == 1


# The same in a service, over sockets.


def _gate(world: World) -> Admission:
    (binding,) = world.router.bindings.names.values()
    assert isinstance(binding.service, LimitedService)
    return binding.service.admission


async def _until(true: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        while not true():
            await trio.sleep(0.005)


async def test_the_eleventh_of_ten_hears_so_within_milliseconds() -> None:
    backend, answers = Held(), list[Answer]()
    async with World(admission=AdmissionParams(FixedParams(10))).running(backend) as world:

        async def ask() -> None:
            answers.append(await world.ask(GET))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask)
            await _until(lambda: len(backend.seen) == 10)
            caller = await world.connect()
            took = []
            for _ in range(5):
                began = trio.current_time()
                await caller.send(GET)
                refused = await caller.answer()
                took.append(trio.current_time() - began)
            backend.let.set()
        again = await world.ask(GET)
        gate = _gate(world)
        await caller.stream.aclose()

    assert (refused.status, refused.get("retry-after")) == (503, "1")
    assert refused.body == b"balance /svc/web: 10 requests are under way, as many as concurrency allows\n"
    assert min(took) < 0.005
    assert ([answer.status for answer in answers], again.status) == ([200] * 10, 200)
    assert (gate.in_flight, len(backend.seen)) == (0, 11)
    (service,) = world.stats.services.series()
    assert (service.rejected, service.failure, service.retries.total()) == ({"queue_full": 5}, 5, 0)
    assert world.stats.errors("test")["connection_limit_reached"] == 5


async def test_a_stream_is_under_way_until_its_end() -> None:
    finish = trio.Event()

    async def stream(to: trio.SocketStream, _: bytes) -> bool:
        await to.send_all(CHUNKED + b"4\r\nbody\r\n")
        await finish.wait()
        await to.send_all(b"0\r\n\r\n")
        return True

    async with World(admission=AdmissionParams(FixedParams(1))).running(Backend([stream, OK])) as world:
        caller = await world.connect()
        await caller.send(GET)
        await _until(lambda: bool(world.backends[0].seen) and _gate(world).in_flight == 1)
        await trio.testing.wait_all_tasks_blocked(0.02)
        refused = await world.ask(GET)
        finish.set()
        whole = await caller.answer()
        await _until(lambda: _gate(world).in_flight == 0)
        statuses = [(await world.ask(GET)).status]
        await caller.stream.aclose()

    assert (refused.status, whole.body, statuses) == (503, b"body", [200])


@pytest.mark.parametrize("ends", ["the caller goes", "the backend breaks off"])
async def test_a_stream_that_breaks_gives_its_place_back(ends: str) -> None:
    async def stream(to: trio.SocketStream, _: bytes) -> bool | None:
        await to.send_all(CHUNKED + b"4\r\nbody\r\n")
        if ends == "the backend breaks off":
            return None
        while True:
            await trio.sleep(0.01)
            await to.send_all(b"400\r\n" + b"x" * 1024 + b"\r\n")

    async with World(admission=AdmissionParams(FixedParams(1))).running(Backend([stream])) as world:
        caller = await world.connect()
        await caller.send(GET)
        await _until(lambda: bool(world.backends[0].seen))
        if ends == "the caller goes":
            await _until(lambda: _gate(world).in_flight == 1)
            await caller.stream.aclose()
        await _until(lambda: _gate(world).in_flight == 0)
        await caller.stream.aclose()


@pytest.mark.parametrize(
    ("replies", "status"),
    [
        pytest.param([b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"], 500, id="a failure"),
        pytest.param([CLOSE] * 9, 502, id="no answer, however often it is tried"),
        pytest.param([b"garbage\r\n\r\n"], 502, id="no HTTP"),
    ],
)
async def test_what_fails_gives_its_place_back(replies: list[bytes], status: int) -> None:
    async with World(admission=AdmissionParams(FixedParams(1))).running(Backend(replies)) as world:
        statuses = [(await world.ask(GET)).status for _ in range(3)]

        assert (statuses, _gate(world).in_flight) == ([status] * 3, 0)


async def test_the_callers_deadline_holds_in_the_queue_too() -> None:
    world = World(admission=AdmissionParams(FixedParams(1), max_waiters=5, max_wait=60.0), total_timeout=0.1)
    async with world.running(Held()):
        answers = await world.ask_at_once(4, GET)

        assert ([answer.status for answer in answers], _gate(world).in_flight) == ([504] * 4, 0)
        assert not _gate(world).waiters


async def test_what_is_refused_pays_for_no_retries() -> None:
    budget = RetryBudgetParams(10.0, 0, 1.0)
    backend = Held()
    world = World(admission=AdmissionParams(FixedParams(1)), budget=budget)
    async with world.running(backend), trio.open_nursery() as nursery:
        nursery.start_soon(world.ask, GET)
        await _until(lambda: bool(backend.seen))
        await world.ask_at_once(9, GET)
        (binding,) = world.router.bindings.names.values()
        assert binding.service is not None
        paid = binding.service.budget.balance(trio.current_time())
        backend.let.set()

    assert paid == 1


async def test_callers_with_dtabs_of_their_own_share_the_limit() -> None:
    backend = Held()
    world = World(admission=AdmissionParams(FixedParams(1)))
    async with world.running(backend), trio.open_nursery() as nursery:
        nursery.start_soon(world.ask, GET)
        await _until(lambda: bool(backend.seen))
        refused = await world.ask(GET.replace(b"\r\n\r\n", b"\r\nl5d-dtab: /srv => /$/nil\r\n\r\n"))
        backend.let.set()

    assert refused.status == 503


async def test_a_tunnel_counts_as_long_as_it_lasts() -> None:
    connect = b"CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n"
    world = World(dtab="/svc/web => /$/inet/127.0.0.1/{0}", admission=AdmissionParams(FixedParams(1)))
    async with world.running(Held()):
        caller = await world.connect()
        await caller.send(connect)
        opened = await caller.answer("CONNECT")
        refused = await world.ask(connect)
        await caller.stream.aclose()
        services = [each.service for each in world.router.bindings.names.values()]
        gates = {each.admission for each in services if isinstance(each, LimitedService)}
        await _until(lambda: all(not gate.in_flight for gate in gates))
        again = await world.ask(connect, method="CONNECT")

    assert (opened.status, refused.status, again.status) == (200, 503, 200)


async def test_a_tunnel_that_cannot_be_opened_gives_its_place_back() -> None:
    connect = b"CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n"
    world = World(dtab=f"/svc/web => /$/inet/127.0.0.1/{free_port()}", admission=AdmissionParams(FixedParams(1)))
    async with world.running(Backend()):
        statuses = [(await world.ask(connect)).status for _ in range(3)]

    assert statuses == [502] * 3


async def test_an_adaptive_limit_learns_from_successes_and_from_what_took_too_long() -> None:
    async def slow(to: trio.SocketStream, _: bytes) -> bool:
        await trio.sleep(5)
        return True

    backend = Backend([OK, b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", slow])
    world = World(admission=AdmissionParams(GradientParams(initial_limit=10)), total_timeout=0.2)
    async with world.running(backend):
        counts = []
        for _ in range(3):
            await world.ask(GET)
            limit = _gate(world).limit
            assert isinstance(limit, GradientLimit)
            counts.append(limit._count)

    assert counts == [1, 1, 2]


async def test_without_the_key_there_is_no_admission() -> None:
    async with World().running(Backend()) as world:
        await world.ask(GET)
        (binding,) = world.router.bindings.names.values()

        assert not hasattr(binding.service, "admission")
        (service,) = world.stats.services.series()
        assert service.concurrency is None
