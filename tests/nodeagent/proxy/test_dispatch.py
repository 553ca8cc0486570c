"""What becomes of a request's own words on its way: its Host, its rules, what it says behind its body."""

from __future__ import annotations

import pytest

from nodeagent.proxy.edge import Edge
from nodeagent.proxy.identify import Identifier, by_host, by_path
from tests.nodeagent.proxy.world import Backend, World


@pytest.mark.parametrize(
    ("identifier", "asked", "host"),
    [
        pytest.param(by_host(), b"GET / HTTP/1.1\r\nHost: Users;v=2\r\n\r\n", b"Users", id="Host"),
        pytest.param(by_host(), b"GET http://users;v=2/ HTTP/1.1\r\nHost: x\r\n\r\n", b"users", id="a URL"),
        pytest.param(by_host(), b"GET / HTTP/1.1\r\nHost: users;v=2:8080\r\n\r\n", b"users:8080", id="with a port"),
        pytest.param(
            by_path(1, False),
            b"GET /users HTTP/1.1\r\nHost: shop;v=2\r\n\r\n",
            b"shop;v=2",
            id="named by the URL's path",
        ),
    ],
)
async def test_a_subset_is_kept_from_the_backend_when_it_was_asked_for(
    identifier: Identifier, asked: bytes, host: bytes
) -> None:
    async with World(dtab="/svc => /#/pool", identifier=identifier).running(Backend()) as world:
        answer = await world.ask(asked)

    assert answer.status == 200
    assert b"\r\nHost: " + host + b"\r\n" in world.backends[0].seen[0]


RULE = b"l5d-dtab: /svc/web => !\r\n"
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: web\r\n" + RULE + b"\r\n", id="alone"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: web\r\nL5D-DTAB:/svc/web=>!\r\n\r\n", id="in capitals"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: web\r\nl5d-ctx-dtab: /svc/web=>!\r\n\r\n", id="as context"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: web\r\n" + RULE + RULE + b"\r\n", id="twice"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: web\r\n" + RULE + b"Connection: l5d-dtab\r\n\r\n", id="for this hop"),
        pytest.param(b"GET / HTTP/1.0\r\nHost: web\r\n" + RULE + b"\r\n", id="HTTP/1.0"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: web\r\n" + CHUNKS + RULE + b"\r\n", id="behind the body"),
    ],
)
@pytest.mark.parametrize("edge", [Edge(trust_dtabs=False), Edge(clear_context=True, trust_dtabs=False)], ids=str)
async def test_rules_of_callers_that_are_not_trusted_are_neither_obeyed_nor_passed_on(edge: Edge, asked: bytes) -> None:
    async with World().running(Backend()) as world:
        world.server.edge = edge
        answer = await world.ask(asked)

    assert answer.status == 200
    assert b"dtab" not in world.backends[0].seen[0].lower().replace(b"connection: l5d-dtab", b"")


async def test_a_tunnel_is_not_steered_by_callers_that_are_not_trusted_either() -> None:
    async with World().running(Backend()) as world:
        asked = b"CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\n" + RULE + b"\r\n"
        obeyed = await world.ask(asked, method="CONNECT")
        world.server.edge = Edge(trust_dtabs=False)
        dropped = await world.ask(asked, method="CONNECT")

    assert (obeyed.status, dropped.status) == (502, 200)


async def test_rules_of_trusted_callers_travel_on_as_context() -> None:
    async with World(dtab="/svc => /$/inet/127.0.0.1/{0}").running(Backend()) as world:
        await world.ask(b"GET / HTTP/1.1\r\nHost: a\r\nl5d-dtab: /svc/a=>/svc/b\r\nl5d-ctx-dtab: /x=>/y\r\n\r\n")

    assert b"\r\nl5d-ctx-dtab: /x => /y ; /svc/a => /svc/b\r\n" in world.backends[0].seen[0]
    assert b"l5d-dtab" not in world.backends[0].seen[0]
