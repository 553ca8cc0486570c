"""Each failure says in its line who is to blame, through a real router."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
import trio

from balancer.limiter import AdmissionParams, FixedParams
from nodeagent.accesslog.lines import json_line
from nodeagent.proxy.balance import ClientPolicy
from tests.nodeagent.proxy.world import CLOSE, OK, Backend, World, free_port, queue_is_full

GET = b"GET /x HTTP/1.1\r\nHost: web\r\n\r\n"
BROKEN = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


async def silent(stream: trio.SocketStream, _: bytes) -> None:
    await trio.sleep_forever()


def at(port: int) -> str:
    return f"/svc/web => /$/inet/127.0.0.1/{port}"


Reply = bytes | Callable[[trio.SocketStream, bytes], object]


@pytest.mark.parametrize(
    ("replies", "world", "status", "blame", "error"),
    [
        ([OK], World(), 200, None, None),
        ([BROKEN], World(), 503, "upstream", None),
        ([CLOSE], World(), 502, "upstream", "http_response_incomplete"),
        ([b"what?\r\n\r\n"], World(), 502, "upstream", "http_protocol_error"),
        ([silent], World(client=ClientPolicy(attempt_timeout=0.05)), 504, "timeout", "http_response_timeout"),
        ([silent], World(total_timeout=0.05), 504, "timeout", "http_response_timeout"),
        ([], World(dtab=at(free_port())), 502, "connect", "connection_refused"),
        ([], World(dtab="/svc/else => /$/nil"), 502, "naming", "destination_not_found"),
        ([], World(dtab="/svc/web => /$/fail"), 502, "naming", "destination_not_found"),
        ([], World(dtab="/svc/web => /#/pool"), 503, "no endpoint", "destination_unavailable"),
        ([OK], World(own=lambda host, port: True), 502, "loop", "proxy_loop_detected"),
    ],
    ids=[
        *("success", "5XX", "closed", "no HTTP", "attempt timed out", "all timed out", "refused"),
        *("no such name", "a name that fails", "no endpoint", "the agent itself"),
    ],
)
async def test_a_line_says_who_is_to_blame(
    replies: Sequence[Reply], world: World, status: int, blame: str | None, error: str | None
) -> None:
    backends = [Backend(replies)] if replies else []
    async with world.running(*backends):
        answer = await world.ask(GET)
        line = await told(world)

    assert (answer.status, line["status"], line["blame"], line["error"]) == (status, status, blame, error)
    assert bool(line["message"]) == (error is not None)


async def test_who_cannot_be_connected_to_is_told_from_who_refuses() -> None:
    with ExitStack() as stack:
        port = stack.enter_context(queue_is_full())
        async with World(dtab=at(port), client=ClientPolicy(connect_timeout=0.05)).running() as world:
            await world.ask(GET)
            line = await told(world)

    assert (line["status"], line["blame"], line["error"]) == (504, "connect", "connection_timeout")
    assert line["attempts"][0]["error"]


async def test_what_is_not_allowed_says_so() -> None:
    async with World(dtab="/svc => /$/io.buoyant.rinet/80").running() as world:
        answer = await world.ask(GET.replace(b"web", b"localhost"))
        line = await told(world)

    assert (answer.status, line["blame"], line["error"]) == (403, "policy", "destination_ip_prohibited")


async def test_what_is_shed_says_so() -> None:
    world = World(admission=AdmissionParams(FixedParams(1), max_waiters=0, max_wait=0.0), total_timeout=0.3)
    async with world.running(Backend([silent])):
        await world.ask_at_once(2, GET)
        lines = [json.loads(json_line(each, 0.0)) for each in world.told]

    assert [(line["status"], line["blame"]) for line in lines] == [(503, "shed"), (504, "timeout")]


async def test_a_caller_that_is_no_program_of_http_is_to_blame_itself() -> None:
    async with World().running(Backend()) as world:
        await world.ask(b"GET / HTTP/9.9\r\n\r\n")
        line = await told(world)

    assert (line["blame"], line["name"], line["method"], line["attempts"]) == ("caller", None, "", [])


async def told(world: World) -> dict[str, Any]:
    """The line of the one request, once it is over."""
    with trio.fail_after(5):
        while not world.told:
            await trio.sleep(0.005)
    (exchange,) = world.told
    found: dict[str, Any] = json.loads(json_line(exchange, 0.0))
    return found
