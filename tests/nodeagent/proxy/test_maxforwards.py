"""The hop at which Max-Forwards ends is the agent's own: it answers, and no backend hears of the request."""

from __future__ import annotations

from tests.nodeagent.proxy.world import Backend, World

NEXT = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"


async def test_trace_is_answered_with_what_came_less_its_credentials() -> None:
    async with World().running(Backend()) as world:
        caller = await world.connect()
        await caller.send(
            b"TRACE /a?b HTTP/1.1\r\nHost: nobody\r\nX-A: 1\r\nMax-Forwards: 0\r\nAuthorization: secret\r\n"
            b"Cookie: secret\r\nProxy-Authorization: secret\r\nVia: 1.1 near\r\n\r\n"
        )
        answer = await caller.answer()
        await caller.send(NEXT)
        after = await caller.answer()
        await caller.stream.aclose()

    assert (answer.status, answer.get("content-type"), after.status) == (200, "message/http", 200)
    assert answer.body == (b"TRACE /a?b HTTP/1.1\r\nHost: nobody\r\nX-A: 1\r\nmax-forwards: 0\r\nvia: 1.1 near\r\n\r\n")
    assert len(world.backends[0].seen) == 1


async def test_options_is_answered_with_nothing() -> None:
    async with World().running(Backend()) as world:
        answer = await world.ask(b"OPTIONS * HTTP/1.1\r\nHost: nobody\r\nMax-Forwards: 00\r\n\r\n")
        body = await world.ask(b"OPTIONS / HTTP/1.1\r\nHost: web\r\nMax-Forwards: 0\r\nContent-Length: 5\r\n\r\nhello")

    assert (answer.status, answer.get("content-length"), body.status, world.backends[0].seen) == (200, "0", 200, [])
