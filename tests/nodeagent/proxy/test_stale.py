"""Kept connections that their backend closes: when that costs a request nothing, and when nobody can know."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trio

from nodeagent.http1.body import CHUNKED, Source, StreamBody
from nodeagent.http1.upstream import Http1Connection
from nodeagent.proxy.balance import ClientPolicy
from nodeagent.proxy.errors import BadRequest, ConnectionStale, ResponseIncomplete
from nodeagent.proxy.messages import Body, Request, RequestHead
from nodeagent.proxy.pool import PoolLimits
from nodeagent.proxy.replay import ReplayBody
from nodeagent.proxy.wire import Wire
from tests.nodeagent.proxy.world import Backend, World

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CUT = b"\x01\x00\x00\x00\x00\x00\x00\x00"
ROUNDS = 20
"""Exchanges after which Linux delays acknowledgements, because each answer carries one."""


def post(body: bytes | Body = b"body") -> Request:
    length = body.length if not isinstance(body, bytes) else len(body)
    special = {b"transfer-encoding": b"chunked"} if length is None else {b"content-length": b"%d" % length}
    return Request(RequestHead(b"POST", b"web", b"/", 11, b"", special), body, 0.0)


@contextmanager
def kept() -> Iterator[tuple[Http1Connection, socket.socket]]:
    """A connection over TCP, and its far end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far = listener.accept()[0]
    connection = Http1Connection(Wire(near), "dial 10.0.0.7:80", 0.0)
    with far:
        yield connection, far
        connection.close()


async def used(connection: Http1Connection, far: socket.socket, rounds: int = ROUNDS) -> None:
    """Have some exchanges over it."""
    for _ in range(rounds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.exchange, post())
            await trio.testing.wait_all_tasks_blocked()
            far.recv(65536)
            far.send(OK)


async def fault(connection: Http1Connection, request: Request, meanwhile: Callable[[], object]) -> ResponseIncomplete:
    """Return how an exchange fails, under which something happens once the request is sent."""
    found: list[ResponseIncomplete] = []

    async def exchange() -> None:
        with pytest.raises(ResponseIncomplete) as caught:
            await connection.exchange(request)
        found.append(caught.value)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            request.nursery = nursery
            nursery.start_soon(exchange)
            await trio.testing.wait_all_tasks_blocked(0.005)
            meanwhile()
    return found[0]


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT)
    sock.close()


def nothing() -> None: ...


class Upload(Source):
    """A caller's body that comes in one piece, and then waits."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def read(self) -> bytes:
        if not self.data:
            await trio.sleep_forever()
        data, self.data = self.data, b""
        return data

    def unread(self, data: bytes) -> None:
        raise AssertionError


def body(framing: int, data: bytes) -> StreamBody:
    return StreamBody(Upload(data), framing, BadRequest, lambda whole: None)


@pytest.mark.parametrize("size", [4, 100_000])
async def test_what_is_sent_after_the_backend_has_closed_was_provably_not_taken(size: int) -> None:
    with kept() as (connection, far):
        await used(connection, far)
        far.close()
        error = await fault(connection, post(b"x" * size), nothing)

    assert isinstance(error, ConnectionStale)
    assert error.unsent
    assert error.message.startswith("dial 10.0.0.7:80 closed the connection")


async def test_what_is_sent_after_a_reset_was_not_sent() -> None:
    with kept() as (connection, far):
        await used(connection, far)
        reset(far)
        assert isinstance(await fault(connection, post(), nothing), ConnectionStale)


@pytest.mark.parametrize("rounds", [1, ROUNDS])
@pytest.mark.parametrize("how", [reset, socket.socket.close], ids=["reset", "closed"])
async def test_what_a_backend_may_have_read_was_sent_whatever_the_kernel_has_counted(
    how: Callable[[socket.socket], None], rounds: int
) -> None:
    def read_and_die() -> None:
        far.recv(65536)
        how(far)

    with kept() as (connection, far):
        await used(connection, far, rounds)
        error = await fault(connection, post(), read_and_die)

    assert not error.unsent


async def test_what_came_before_the_close_was_sent_though_nobody_has_read_it() -> None:
    with kept() as (connection, far):
        await used(connection, far)
        error = await fault(connection, post(), lambda: far.close())

    assert not error.unsent


async def test_a_backend_that_has_begun_to_answer_has_read() -> None:
    with kept() as (connection, far):
        await used(connection, far)
        far.send(b"HTTP/1.1 200")
        far.shutdown(socket.SHUT_WR)
        error = await fault(connection, post(), nothing)

    assert not error.unsent


async def test_a_new_connection_that_is_closed_unread_is_no_stale_one() -> None:
    with kept() as (connection, far):
        far.close()
        error = await fault(connection, post(), nothing)

    assert error.unsent
    assert not isinstance(error, ConnectionStale)


@pytest.mark.parametrize(
    ("upload", "unsent"),
    [
        pytest.param(ReplayBody(body(100, b"x" * 50)), True, id="half of a body that is kept"),
        pytest.param(ReplayBody(body(100_000, b"")), True, id="nothing yet of a long one"),
        pytest.param(ReplayBody(body(100_000, b"x")), False, id="a byte of one too long to be kept"),
        pytest.param(body(CHUNKED, b"1\r\nx\r\n"), False, id="a chunk"),
        pytest.param(body(CHUNKED, b""), True, id="no chunk yet"),
    ],
)
async def test_a_body_that_streams_counts_as_unsent_while_it_can_be_sent_again(upload: Body, unsent: bool) -> None:
    with kept() as (connection, far):
        await used(connection, far)
        far.shutdown(socket.SHUT_WR)
        request = post(upload)
        async with trio.open_nursery() as nursery:
            request.nursery = nursery
            with pytest.raises(ResponseIncomplete) as caught:
                await connection.exchange(request)
            nursery.cancel_scope.cancel()

    assert caught.value.unsent is unsent


# Through the whole agent.


def request(method: str, number: int) -> bytes:
    extra = "Content-Length: 4\r\n\r\nbody" if method == "POST" else "\r\n"
    return f"{method} /{number} HTTP/1.1\r\nHost: web\r\n{extra}".encode()


async def ask(world: World, numbers: Iterator[int], failed: list[tuple[str, int]]) -> None:
    caller = await world.connect()
    async with caller.stream:
        for number in numbers:
            method = "POST" if number % 2 else "GET"
            await caller.send(request(method, number))
            if (await caller.answer()).status != 200:
                failed.append((method, number))
            if number % 7 == 0:
                await trio.sleep(0.002)


@pytest.mark.e2e
@pytest.mark.parametrize("manner", ["polite", "rude"])
async def test_connections_that_close_at_random_cost_nothing_that_was_not_taken(manner: str) -> None:
    """NODEAGENT_CHURN_REQUESTS is how many are made."""
    count = int(os.environ.get("NODEAGENT_CHURN_REQUESTS", "3000"))
    command = [sys.executable, "-m", "tests.nodeagent.proxy.churn", manner]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as churn:
        assert churn.stdout is not None
        port = int(churn.stdout.readline())
        world = World(dtab=f"/svc/web => /$/inet/127.0.0.1/{port}")
        failed: list[tuple[str, int]] = []
        numbers = iter(range(count))
        async with world.running():
            async with trio.open_nursery() as callers:
                for _ in range(16):
                    callers.start_soon(ask, world, numbers, failed)
            client = next(iter(world.stats.clients.series()))
        told = json.loads(churn.communicate("")[0])

    repeated = client.requeues
    print(f"{told['closed']} closed, {repeated} unsent and repeated, {len(told['taken'])} met unread, failed: {failed}")
    assert [each for each in failed if each[0] == "GET"] == []
    assert {number for _, number in failed} <= set(told["taken"]), "only what the backend had taken, and not read"
    twice = [number for number, times in Counter(told["served"]).items() if times > 1 and number % 2]
    assert twice == [], "no POST was done twice"
    assert told["closed"] > count / 20


async def test_a_get_that_is_lost_is_sent_again_over_a_new_connection() -> None:
    """Each kept connection is reset under the next request: the third in a row would be too much."""

    async def once(stream: trio.SocketStream, request: bytes) -> None:
        await stream.send_all(OK)
        await stream.receive_some()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT)

    async with World().running(Backend([once])) as world:
        await world.ask_at_once(8, request("GET", 0))
        answers = [await world.ask(request("GET", 0)) for _ in range(8)]

    assert {answer.status for answer in answers} == {200}


async def test_a_new_connection_takes_the_place_of_a_kept_one_when_the_pool_is_full() -> None:
    seen = 0

    async def twice(stream: trio.SocketStream, request: bytes) -> bool | None:
        nonlocal seen
        seen += 1
        if seen % 2:
            await stream.send_all(OK)
            return True
        return None  # and so closes

    world = World(client=ClientPolicy(pool=PoolLimits(max_size=1)))
    async with world.running(Backend([twice])):
        answers = [await world.ask(request("GET", 0)) for _ in range(6)]

    assert {answer.status for answer in answers} == {200}


async def test_to_a_backend_that_closes_at_random_a_post_goes_over_a_new_connection_and_a_get_does_not() -> None:
    async with World().running(Backend()) as world:
        await world.ask(request("GET", 0))
        (client,) = world.router.bindings.clients.values()
        (node,) = client.balancer.nodes
        node.pool.erratic = True  # type: ignore[attr-defined]
        connections = []
        for method in ("GET", "POST", "POST", "GET"):
            await world.ask(request(method, 0))
            connections.append(world.backends[0].connections)

        assert connections == [1, 2, 3, 3]
        assert client.connections == 1


async def test_what_a_backend_announces_is_heeded() -> None:
    reply = OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=0\r\n\r\n")
    async with World().running(Backend([reply])) as world:
        answers = [await world.ask(request("POST", number)) for number in range(3)]

    assert [answer.get("keep-alive") for answer in answers] == [None] * 3
    assert world.backends[0].connections == 3
