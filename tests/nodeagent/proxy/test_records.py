"""What is told of a request when it is over."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable

import pytest
import trio

from balancer.accrual import Health
from balancer.params import AccrualParams
from balancer.response_class import ResponseClass
from namer.addr import Endpoint
from nodeagent.proxy.balance import ClientPolicy
from nodeagent.telemetry.decision import blame, summary
from nodeagent.telemetry.exchange import Exchange, Fields
from tests.nodeagent.proxy.world import CLOSE, OK, Backend, World

GET = b"GET /a?b HTTP/1.1\r\nHost: web\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nl5d-retryable: true\r\nContent-Length: 4\r\n\r\nbusy"
BAD = b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nbad"


async def told(world: World, count: int = 1) -> list[Exchange]:
    """The exchanges that were told of, once there are `count`."""
    with trio.fail_after(5):
        while len(world.told) < count:
            await trio.sleep(0.001)
    return world.told


async def test_a_request_that_is_answered() -> None:
    async with World().running(Backend([OK])) as world:
        await world.ask(GET)
        [exchange] = await told(world)

    assert (exchange.method, exchange.authority, exchange.path) == (b"GET", b"web", b"/a?b")
    assert (exchange.name, exchange.status, exchange.verdict) == ("/svc/web", 200, ResponseClass.SUCCESS)
    assert (exchange.received, exchange.sent, exchange.whole, exchange.plain) == (0, 2, True, True)
    assert (exchange.error, exchange.message, exchange.deadline, exchange.budget) == (None, None, math.inf, 100)
    [attempt] = exchange.attempts
    assert attempt.endpoint.port == world.backends[0].port
    assert (attempt.health, attempt.pending, attempt.endpoints) == (Health.ALIVE, 0, 1)
    assert (attempt.status, attempt.error) == (200, None)
    assert attempt.connected is not None
    times = [exchange.received_at, attempt.started, attempt.connected, attempt.ended]
    times += [exchange.answered_at, exchange.ended_at]
    assert times == sorted(times)
    assert exchange.derivation is not None
    assert [step.dentry for step in exchange.derivation.steps] == [
        f"/svc/web => /$/inet/127.0.0.1/{attempt.endpoint.port}"
    ]
    assert [weight for _, weight in exchange.derivation.branches] == [1.0]


async def test_each_attempt_is_told_with_what_was_compared() -> None:
    async with World("/svc/web => /#/pool", classifier="io.l5d.http.retryableRead5XX").running(
        Backend([BUSY, OK]), Backend([BUSY, OK])
    ) as world:
        await world.ask(GET)
        [exchange] = await told(world)

    assert not exchange.plain
    first, second, third = exchange.attempts
    assert (first.status, first.verdict) == (503, ResponseClass.RETRYABLE)
    assert first.endpoint in [node.endpoint for node in first.drawn[::2]]
    assert first.drawn[1::2] == (0.0, 0.0)
    assert [attempt.endpoints for attempt in exchange.attempts] == [2, 2, 2]
    assert (second.endpoint, second.status) == (next(e for e in pool(world) if e != first.endpoint), 503)
    assert (third.endpoint, third.status, exchange.status) == (first.endpoint, 200, 200)


def pool(world: World) -> list[Endpoint]:
    return [Endpoint("127.0.0.1", backend.port) for backend in world.backends]


async def test_a_connection_that_is_kept_is_there_at_once() -> None:
    async with World().running(Backend([OK])) as world:
        await world.ask(GET)
        await world.ask(GET)
        first, second = (exchange.attempts[0] for exchange in await told(world, 2))

    assert first.connected is not None
    assert first.connected > first.started
    assert second.connected == second.started


def refused() -> World:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    return World(f"/svc/web => /$/inet/127.0.0.1/{port}", client=ClientPolicy(accrual=AccrualParams("none")))


@pytest.mark.parametrize(
    ("make", "replies", "request_", "status", "error", "whose"),
    [
        pytest.param(World, [BAD], GET, 500, None, "upstream", id="the backend's own answer"),
        pytest.param(World, [CLOSE], GET, 502, "http_response_incomplete", "upstream", id="no answer"),
        pytest.param(World, [b"nonsense\r\n\r\n"], GET, 502, "http_protocol_error", "upstream", id="no HTTP"),
        pytest.param(refused, [], GET, 502, "connection_refused", "connect", id="refused"),
        pytest.param(
            lambda: World("/svc/web => !"), [], GET, 502, "destination_not_found", "naming", id="no such name"
        ),
        pytest.param(
            lambda: World(total_timeout=0.0), [OK], GET, 504, "http_response_timeout", "timeout", id="too late"
        ),
        pytest.param(World, [], b"GET / HTTP/1.1\r\n\r\n", 400, "http_request_error", "caller", id="no Host"),
        pytest.param(World, [], b"nonsense\r\n\r\n", 400, "http_request_error", "caller", id="no request"),
    ],
)
async def test_who_is_to_blame(
    make: Callable[[], World], replies: list[bytes], request_: bytes, status: int, error: str | None, whose: str
) -> None:
    async with make().running(Backend(replies or [OK])) as world:
        answer = await world.ask(request_)
        [exchange] = await told(world)

    assert answer.status == exchange.status == status
    assert (exchange.error, blame(exchange)) == (error, whose)
    assert exchange.failed
    assert not exchange.plain
    assert exchange.whole


async def test_a_caller_that_leaves_gets_no_answer() -> None:
    waits = trio.Event()

    async def never(stream: trio.SocketStream, _: bytes) -> None:
        waits.set()
        await stream.receive_some()

    async with World().running(Backend([never])) as world:
        stream = await trio.open_tcp_stream("127.0.0.1", world.port)
        await stream.send_all(GET)
        await waits.wait()
        await trio.sleep(0.15)  # beyond the grace in which a half-close means that all was said
        await stream.aclose()
        [exchange] = await told(world)

    assert (exchange.status, exchange.whole, blame(exchange)) == (0, False, "caller")
    assert [attempt.error for attempt in exchange.attempts] == ["given up"]


async def test_an_answer_that_breaks_off() -> None:
    async def half(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    async with World().running(Backend([half])) as world:
        await world.ask(GET)
        [exchange] = await told(world)

    assert (exchange.status, exchange.sent, exchange.whole) == (200, 4, False)
    assert (exchange.error, blame(exchange)) == ("http_response_incomplete", "upstream")


async def test_a_streamed_answer_is_told_when_it_is_over() -> None:
    body = b"x" * 100_000
    async with World().running(Backend([b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + body])) as world:
        await world.ask(GET)
        [exchange] = await told(world)

    assert (exchange.sent, exchange.whole, exchange.plain) == (100_000, True, True)


async def test_an_upload_is_counted() -> None:
    body = b"x" * 100_000
    async with World().running(Backend([OK])) as world:
        await world.ask(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 100000\r\n\r\n" + body)
        [exchange] = await told(world)

    assert (exchange.received, exchange.sent) == (100_000, 2)


async def test_a_tunnel_is_told_when_it_is_over() -> None:
    async def echo(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"pong!")

    async with World("/svc/web:9 => /$/inet/127.0.0.1/{0}").running(Backend([echo])) as world:
        stream = await trio.open_tcp_stream("127.0.0.1", world.port)
        async with stream:
            await stream.send_all(b"CONNECT web:9 HTTP/1.1\r\nHost: web:9\r\n\r\n")
            await stream.receive_some()
            await stream.send_all(b"a\r\n\r\n")
            assert await stream.receive_some() == b"pong!"
            assert world.told == []
            await stream.send_eof()
            assert await stream.receive_some() == b""
        [exchange] = await told(world)

    assert (exchange.method, exchange.name, exchange.status) == (b"CONNECT", "/svc/web:9", 200)
    assert (exchange.received, exchange.sent, exchange.whole) == (5, 5, True)
    assert [attempt.endpoint.port for attempt in exchange.attempts] == [world.backends[0].port]


async def test_nothing_is_made_for_nobody() -> None:
    async with World().running(Backend([OK])) as world:
        world.router.exchanges.unwatch(world.router.exchanges.watchers[0])
        await world.ask(GET)
        assert world.told == []
        with pytest.raises(ValueError, match="not in list"):
            world.router.exchanges.unwatch(print)


async def test_who_only_keeps_it_gets_the_fields_of_the_same_exchange() -> None:
    kept: list[Fields] = []
    async with World().running(Backend([OK])) as world:
        world.router.exchanges.keep(kept.append)
        await world.ask(GET)
        [exchange] = await told(world)
        world.router.exchanges.unwatch(world.router.exchanges.watchers[0])
        await world.ask(GET)
        with trio.fail_after(5):
            while len(kept) < 2:
                await trio.sleep(0.001)

    assert Exchange.of(kept[0]) == exchange
    assert len(kept[1]) == len(Exchange._fields)


async def test_a_watcher_and_a_keeper_that_fail_harm_nobody() -> None:
    def fails(exchange: Fields) -> None:
        raise RuntimeError("full")

    async with World().running(Backend([OK])) as world:
        exchanges = world.router.exchanges
        exchanges.watchers = (fails, *exchanges.watchers)
        exchanges.keep(fails)
        assert (await world.ask(GET)).status == 200
        assert len(await told(world)) == 1


def test_a_summary_says_why() -> None:
    attempt = {
        "endpoint": "10.0.0.1:80",
        "trial": False,
        "endpoints": 2,
        "candidates": [
            {"endpoint": "10.0.0.1:80", "load": 0.004, "chosen": True},
            {"endpoint": "10.0.0.2:80", "load": 0.5, "chosen": False},
        ],
    }
    record = {"attempts": [attempt], "choice": "10.0.0.1:80", "message": None, "policy": None}
    assert summary(record) == "10.0.0.1:80, the least load of those drawn: 0.004 against 10.0.0.2:80 0.5"
    assert summary({**record, "attempts": [attempt | {"trial": True}]}).endswith(
        "a trial of an endpoint that had failed"
    )
    alone = attempt | {"endpoints": 1, "candidates": []}
    assert summary({**record, "attempts": [alone]}) == "10.0.0.1:80, its only endpoint"
    by_ring = attempt | {"candidates": []}
    assert summary({**record, "attempts": [by_ring]}) == "10.0.0.1:80, chosen among 2 without comparing loads"
    none: dict[str, object] = {"attempts": [], "choice": None, "policy": None}
    assert summary({**none, "message": "bind /svc/web: nothing"}) == "bind /svc/web: nothing"
    denied = {"verdict": "deny", "rule": "read only"}
    assert summary({**none, "message": "policy: denied", "policy": denied}) == "policy: denied, by read only"


async def test_what_was_sent_before_is_not_told_of_a_tunnel_that_is_refused() -> None:
    async with World().running(Backend([OK])) as world:
        stream = await trio.open_tcp_stream("127.0.0.1", world.port)
        async with stream:
            await stream.send_all(GET)
            await stream.receive_some()
            await stream.send_all(b"CONNECT nobody:9 HTTP/1.1\r\nHost: nobody:9\r\n\r\n")
            while await stream.receive_some():
                pass
        _, refused = await told(world, 2)

    assert (refused.method, refused.status, refused.whole) == (b"CONNECT", 502, True)
    assert refused.message is not None
    assert refused.sent == len(refused.message) + 1, "the text of its own answer, and nothing of the one before"


async def test_the_size_of_what_is_no_request_is_that_of_its_answer() -> None:
    async with World().running(Backend([OK])) as world:
        answer = await world.ask(b"nonsense\r\n\r\n")
        [exchange] = await told(world)

    assert exchange.sent == len(answer.body)
