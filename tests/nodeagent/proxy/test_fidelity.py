"""What is not the agent's business arrives byte for byte: spelling, order, repetition, and when it was sent."""

from __future__ import annotations

import pytest
import trio

from tests.nodeagent.proxy.world import OK, Backend, World

FIELDS = (
    b"X-Zulu: 1\r\nx-alpha:2\r\nX-MIXED-case:\t spaced  out \r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n"
    b'ETag: W/""\r\nX-Empty:\r\nset-cookie: c=3\r\nDate: yesterday\r\nX-Zulu: again\r\n'
)


async def test_fields_keep_spelling_order_and_repetition_both_ways() -> None:
    reply = b"HTTP/1.1 200 Just Fine\r\n" + FIELDS + b"Content-Length: 2\r\n\r\nok"
    async with World().running(Backend([reply])) as world:
        answer = await world.ask(b"GET / HTTP/1.1\r\nHost: web\r\n" + FIELDS + b"\r\n")

    assert world.backends[0].seen[0].startswith(b"GET / HTTP/1.1\r\nHost: web\r\n" + FIELDS + b"Via: ")
    assert answer.head.startswith(b"HTTP/1.1 200 Just Fine\r\n" + FIELDS + b"Via: ")


@pytest.mark.parametrize("method", [b"PROPFIND", b"M-SEARCH", b"MKCALENDAR", b"DELETE", b"PATCH"])
@pytest.mark.parametrize("target", [b"/a//b/../%2F%zz?x=[1]&y='z'|", b"/?", b"/%C3%A9;v=1?q=a?b"])
async def test_methods_and_targets_are_not_understood_and_not_changed(method: bytes, target: bytes) -> None:
    async with World().running(Backend()) as world:
        answer = await world.ask(b"%b %b HTTP/1.1\r\nHost: web\r\n\r\n" % (method, target))

    assert answer.status == 200
    assert world.backends[0].seen[0].startswith(b"%b %b HTTP/1.1\r\n" % (method, target))


async def test_trailers_of_an_upload_arrive() -> None:
    upload = b"POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n"

    class Reading(Backend):
        async def _serve(self, stream: trio.SocketStream) -> None:
            data = b""
            while not data.endswith(b"X-Sum: 7\r\n\r\n"):
                data += await stream.receive_some()
            self.seen.append(data)
            await stream.send_all(OK)

    async with World().running(Reading()) as world:
        answer = await world.ask(upload)

    assert answer.status == 200
    assert world.backends[0].seen[0].endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n")


@pytest.mark.parametrize("framing", ["chunked", "until close"])
async def test_an_event_arrives_before_the_next_one_is_there(framing: str) -> None:
    first, second = b"data: 1\n\n", b"data: 2\n\n"
    seen = trio.Event()

    def framed(event: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(event), event) if framing == "chunked" else event

    async def tell(stream: trio.SocketStream, request: bytes) -> None:
        coding = b"Transfer-Encoding: chunked\r\n" if framing == "chunked" else b""
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + coding + b"\r\n")
        await stream.send_all(framed(first))
        await seen.wait()
        await stream.send_all(framed(second) + (b"0\r\n\r\n" if framing == "chunked" else b""))

    async with World().running(Backend([tell])) as world:
        caller = await world.connect()
        await caller.send(
            b"GET /events HTTP/1.1\r\nHost: web\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n"
        )
        got = b""
        with trio.fail_after(5):
            while first not in got:
                got += await caller.stream.receive_some()
        assert second not in got
        seen.set()
        rest = await caller.rest()
        await caller.stream.aclose()

    assert rest == b"9\r\n" + second + b"\r\n0\r\n\r\n"


async def test_early_hints_come_early_and_all_of_them() -> None:
    hints = [b"HTTP/1.1 103 Early Hints\r\nLink: </%d.css>; rel=preload\r\n\r\n" % n for n in range(3)]
    seen = trio.Event()

    async def tell(stream: trio.SocketStream, request: bytes) -> bool:
        for hint in hints:
            await stream.send_all(hint)
        await seen.wait()
        await stream.send_all(OK)
        return True

    async with World().running(Backend([tell])) as world:
        caller = await world.connect()
        await caller.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        early = [await caller.answer() for _ in range(3)]
        seen.set()
        final = await caller.answer()
        await caller.stream.aclose()

    assert [(hint.status, hint.get("link")) for hint in early] == [(103, f"</{n}.css>; rel=preload") for n in range(3)]
    assert (final.status, final.body) == (200, b"ok")


async def test_an_http10_caller_is_spared_interim_answers() -> None:
    async with World().running(Backend([b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK])) as world:
        caller = await world.connect()
        await caller.send(b"GET / HTTP/1.0\r\nHost: web\r\n\r\n")
        answer = await caller.answer()
        await caller.stream.aclose()

    assert (answer.status, answer.body) == (200, b"ok")
