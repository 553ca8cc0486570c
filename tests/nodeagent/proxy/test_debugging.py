"""What whoever raises the level of one part gets to read of a request."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from tests.nodeagent.proxy.world import Backend, World

GET = b"GET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n"
LOGGERS = ("nodeagent.bind", "nodeagent.dial", "nodeagent.retry", "nodeagent.dispatch")


@pytest.fixture
def raised() -> Iterator[None]:
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.usefixtures("raised")
async def test_the_way_of_a_request_past_an_endpoint_that_refuses() -> None:
    dead = Backend()
    async with World(dtab="/svc/web => /$/inet/127.0.0.1/{0} | /#/pool").running(dead, Backend()) as world:
        dead.kill()
        with capture_logs() as lines:
            assert (await world.ask(GET)).status == 200

    told = [(line["event"], line.get("name") or line.get("endpoint")) for line in lines]
    where = f"127.0.0.1:{dead.port}"
    assert told[0] == ("a name is bound", "/svc/web")
    assert ("an endpoint was not reached", where) in told
    assert ("an attempt is tried again", "/svc/web") in told
    assert told[-1][0] == "a connection is made"
    (again,) = (line for line in lines if line["event"] == "an attempt is tried again")
    assert again["error"].startswith(f"dial {where}: connection refused")


@pytest.mark.usefixtures("raised")
async def test_a_request_that_nothing_could_be_done_for() -> None:
    async with World(dtab="/svc/other => /#/pool").running() as world:
        with capture_logs() as lines:
            assert (await world.ask(GET)).status == 502

    assert [line["event"] for line in lines] == ["a name is not bound", "a request failed"]
    assert [(line["to"], line["error"]) for line in lines[:1]] == [([], lines[1]["error"])]
    assert lines[1]["name"] == "/svc/web"


async def test_nobody_is_told_unless_he_asks() -> None:
    async with World(dtab="/svc/other => /#/pool").running() as world:
        with capture_logs() as lines:
            assert (await world.ask(GET)).status == 502
    assert lines == []
