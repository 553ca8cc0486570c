"""Whole messages over a stream, in memory."""

from __future__ import annotations

import h11
import pytest
import trio
from trio.testing import memory_stream_pair

from nodeagent.cli.demo_http import DISCONNECTED, read_message, render


async def test_a_message_with_a_body_goes_across() -> None:
    here, there = memory_stream_pair()
    client, server = h11.Connection(h11.CLIENT), h11.Connection(h11.SERVER)
    head = h11.Request(method="POST", target="/x", headers=[("host", "users"), ("content-length", "4")])

    await here.send_all(render(client, head, b"body"))
    request = await read_message(server, there)

    assert isinstance(request, h11.Request)
    assert (request.method, request.target) == (b"POST", b"/x")
    assert server.their_state is h11.DONE


async def test_a_message_byte_by_byte() -> None:
    here, there = memory_stream_pair()
    text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    client = h11.Connection(h11.CLIENT)
    render(client, h11.Request(method="GET", target="/", headers=[("host", "users")]))

    async def trickle() -> None:
        for at in range(len(text)):
            await here.send_all(text[at : at + 1])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle)
        response = await read_message(client, there)

    assert isinstance(response, h11.Response)
    assert response.status_code == 200


async def test_a_peer_that_closes_says_nothing() -> None:
    here, there = memory_stream_pair()
    await here.aclose()

    assert await read_message(h11.Connection(h11.SERVER), there) is None


@pytest.mark.parametrize("said", [b"GET /", b"\x16\x03\x01\x02\x00\x01 hello\r\n\r\n"])
async def test_half_a_message_or_none_at_all(said: bytes) -> None:
    here, there = memory_stream_pair()
    await here.send_all(said)
    await here.aclose()

    with pytest.raises(DISCONNECTED):
        await read_message(h11.Connection(h11.SERVER), there)
