"""What whoever is on call reads of an endpoint that is out, over real sockets."""

from __future__ import annotations

import pytest
import trio
from structlog.testing import capture_logs

from balancer.backoff import ConstantBackoff
from balancer.params import AccrualParams, BalancerParams
from balancer.response_class import ResponseClass
from nodeagent.proxy.balance import Client, ClientPolicy
from nodeagent.proxy.errors import ConnectFailed
from nodeagent.proxy.verdicts import of_error
from tests.nodeagent.proxy.world import OK, Backend, World

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
BROKEN = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"


def world(failures: int = 1) -> World:
    accrual = AccrualParams(failures=failures, backoff=ConstantBackoff(0.05))
    return World(
        dtab="/svc/web => /#/pool", client=ClientPolicy(accrual=accrual, balancer=BalancerParams("roundRobin"))
    )


def client(world: World) -> Client:
    (found,) = world.router.bindings.clients.values()
    return found


async def test_an_endpoint_says_why_it_is_out_until_it_is_back() -> None:
    made, backend = world(), Backend([BROKEN, OK])
    with capture_logs() as logs:
        async with made.running(backend):
            await made.ask(GET)
            (node,) = client(made).balancer.statistics().nodes
            assert (node.reason and node.reason.value, node.trouble) == ("failures", "answered 500")
            await trio.sleep(0.06)
            await made.ask(GET)
            (node,) = client(made).balancer.statistics().nodes
            assert (node.reason, node.trouble) == (None, None)

    about = {"router": "test", "client": "/#/pool", "endpoint": f"127.0.0.1:{backend.port}"}
    assert [log for log in logs if "client" in log] == [
        {
            "event": "an endpoint is out",
            "log_level": "warning",
            "reason": "failures",
            "error": "answered 500",
            **about,
        },
        {
            "event": "no endpoint is alive",
            "log_level": "warning",
            "whenAllDead": "tryAll",
            "router": "test",
            "client": "/#/pool",
        },
        {"event": "an endpoint is alive again", "log_level": "info", **about},
    ]


async def test_a_refusal_and_a_wish_are_told_once() -> None:
    made, gone, busy = world(failures=9), Backend(), Backend([BUSY])
    with capture_logs() as logs:
        async with made.running(gone, busy):
            gone.kill()
            for _ in range(6):
                await made.ask(GET)

    told = sorted(
        (log["reason"], log["log_level"], log["error"]) for log in logs if log["event"] == "an endpoint is out"
    )
    assert told == [
        ("asked", "info", "answered 503"),
        ("refused", "warning", f"dial 127.0.0.1:{gone.port}: connection refused"),
    ]


@pytest.mark.parametrize(
    ("error", "outcome", "words"),
    [
        (ConnectFailed("dial 10.0.0.1:80: connection refused"), ResponseClass.REFUSED, "dial 10.0.0.1:80: connection"),
        (trio.TooSlowError(), ResponseClass.FAILURE, "no response in time"),
        (trio.TooSlowError(), ResponseClass.LOST, "another endpoint, which was asked later, answered before it"),
        (trio.TooSlowError(), ResponseClass.GIVEN_UP, "no response before the caller gave up"),
    ],
)
def test_the_words(error: BaseException, outcome: ResponseClass, words: str) -> None:
    assert of_error(error, outcome).startswith(words)
