"""Conversations in bytes through a running agent: what the client says, what the backend sees, what comes back."""

from __future__ import annotations

import gzip
from ipaddress import ip_network

import pytest
import trio

from nodeagent.proxy.balance import ClientPolicy
from nodeagent.proxy.guard import GuardPolicy
from nodeagent.proxy.server import ServerLimits
from tests.nodeagent.proxy.world import CLOSE, OK, Backend, World, free_port

GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: web\r\n\r\n"


async def test_a_request_by_host_reaches_its_backend_and_says_how_it_came() -> None:
    async with World().running(Backend()) as world:
        answer = await world.ask(b"GET /a?b=%20c HTTP/1.1\r\nHOST: Web\r\nX-CaSe: Kept\r\n\r\n")

    assert (answer.status, answer.body, answer.get("via")) == (200, b"ok", "1.1 nodeagent")
    assert answer.get("l5d-success-class") == "1.0"
    port = world.backends[0].port
    assert world.backends[0].seen == [
        b"GET /a?b=%%20c HTTP/1.1\r\nHost: Web\r\nX-CaSe: Kept\r\nVia: 1.1 nodeagent\r\n"
        b"l5d-dst-service: /svc/web\r\nl5d-dst-client: /$/inet/127.0.0.1/%d\r\n\r\n" % port
    ]


async def test_a_forward_proxy_request_takes_its_name_from_the_target() -> None:
    async with World().running(Backend()) as world:
        answer = await world.ask(b"GET http://web/p?q=%20 HTTP/1.1\r\nHost: other\r\nProxy-Connection: x\r\n\r\n")

    assert answer.status == 200
    assert world.backends[0].seen[0].startswith(b"GET /p?q=%20 HTTP/1.1\r\nHost: web\r\nVia:")


async def test_keep_alive_and_pipelining_answer_in_order() -> None:
    replies = [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % n for n in range(3)]
    async with World().running(Backend(replies)) as world:
        caller = await world.connect()
        await caller.send(GET * 3)
        bodies = [(await caller.answer()).body for _ in range(3)]
        await caller.stream.aclose()

    assert (bodies, world.backends[0].connections) == ([b"0", b"1", b"2"], 1)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n", id="close asked for"),
        pytest.param(b"GET / HTTP/1.0\r\nHost: web\r\n\r\n", id="HTTP/1.0"),
    ],
)
async def test_the_connection_closes_after_the_answer(request_: bytes) -> None:
    async with World().running(Backend()) as world:
        caller = await world.connect()
        await caller.send(request_)
        answer = await caller.answer()
        rest = await caller.rest()
        await caller.stream.aclose()

    assert (answer.get("connection"), answer.body, rest) == ("close", b"ok", b"")


async def test_what_belongs_to_one_hop_stays_on_it() -> None:
    reply = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-Back, keep-alive\r\nX-Back: 1\r\nKeep-Alive: 5\r\n"
        b"Proxy-Authenticate: x\r\nTrailer: x\r\nVia: 1.0 far\r\nX-End: kept\r\n\r\n"
    )
    request = (
        b"GET / HTTP/1.1\r\nHost: web\r\nConnection: X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
        b"Proxy-Authorization: x\r\nProxy-Connection: x\r\nTrailer: x\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n"
        b"Via: 1.1 near\r\nX-End: kept\r\n\r\n"
    )
    async with World().running(Backend([reply])) as world:
        answer = await world.ask(request)

    port = world.backends[0].port
    assert world.backends[0].seen == [
        b"GET / HTTP/1.1\r\nHost: web\r\nX-End: kept\r\nVia: 1.1 near, 1.1 nodeagent\r\n"
        b"l5d-dst-service: /svc/web\r\nl5d-dst-client: /$/inet/127.0.0.1/%d\r\n\r\n" % port
    ]
    assert answer.head == (
        b"HTTP/1.1 200 OK\r\nX-End: kept\r\nVia: 1.0 far, 1.1 nodeagent\r\nl5d-success-class: 1.0\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("method", "reply", "status", "length", "body"),
    [
        pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200, "9", b"", id="HEAD"),
        pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, None, b"", id="204"),
        pytest.param("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, "9", b"", id="304"),
        pytest.param("GET", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, "0", b"", id="no reason phrase"),
        pytest.param(
            "GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", 200, None,
            b"abc", id="chunked",
        ),
    ],
)  # fmt: skip
async def test_kinds_of_answers(method: str, reply: bytes, status: int, length: str | None, body: bytes) -> None:
    async with World().running(Backend([reply])) as world:
        caller = await world.connect()
        await caller.send(method.encode() + b" / HTTP/1.1\r\nHost: web\r\n\r\n")
        answer = await caller.answer(method)
        await caller.send(method.encode() + b" /again HTTP/1.1\r\nHost: web\r\n\r\n")
        again = await caller.answer(method)
        await caller.stream.aclose()

    assert (answer.status, answer.get("content-length"), answer.body) == (status, length, body)
    assert again.status == status


async def test_a_chunked_answer_is_whole_for_callers_of_either_version_and_its_connection_is_used_again() -> None:
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    nothing = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    async with World().running(Backend([reply, reply, nothing])) as world:
        modern = await world.ask(GET)
        ancient = await world.ask(GET.replace(b"1.1", b"1.0"))
        empty = await world.ask(GET)

    assert (modern.get("transfer-encoding"), modern.get("content-length"), modern.body) == ("chunked", None, b"abc")
    assert (ancient.get("transfer-encoding"), ancient.get("content-length"), ancient.body) == (None, "3", b"abc")
    assert (empty.get("transfer-encoding"), empty.get("content-length"), empty.whole) == (None, "0", True)
    assert world.backends[0].connections == 1


async def test_an_answer_that_ends_with_its_connection_is_framed_anew() -> None:
    async def until_close(stream: trio.SocketStream, request: bytes) -> None:
        await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\nall of ")
        await stream.send_all(b"it")

    async with World().running(Backend([until_close])) as world:
        modern = await world.ask(GET)
        ancient = await world.ask(GET.replace(b"1.1", b"1.0"))

    assert (modern.get("transfer-encoding"), modern.body, modern.whole) == ("chunked", b"all of it", True)
    assert (ancient.get("transfer-encoding"), ancient.get("connection"), ancient.body) == (
        None,
        "close",
        b"all of it",
    )


@pytest.mark.parametrize("size", [3, 1_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_bodies_go_both_ways_whole(size: int, framing: str) -> None:
    data = bytes(range(256)) * (size // 256) + b"z" * (size % 256)

    async def echo(stream: trio.SocketStream, request: bytes) -> bool:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + data)
        return True

    if framing == "length":
        request = b"PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n" % size + data
    else:
        request = b"PUT / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
            size,
            data,
        )
    async with World().running(Backend([echo])) as world:
        caller = await world.connect()
        for _ in range(2):
            await caller.send(request)
            answer = await caller.answer()
            assert (answer.status, answer.body == data) == (200, True)
        await caller.stream.aclose()

    head, _, body = world.backends[0].seen[0].partition(b"\r\n\r\n")
    if framing == "length":
        assert b"Content-Length: %d" % size in head
        assert body == data
    else:
        assert b"Transfer-Encoding: chunked" in head


async def test_a_body_streams_before_its_end_is_known() -> None:
    first = trio.Event()
    got: list[bytes] = []

    async def slowly(stream: trio.SocketStream, request: bytes) -> bool:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")
        await first.wait()
        await stream.send_all(b"4\r\nlate\r\n0\r\n\r\n")
        return True

    async with World().running(Backend([slowly])) as world:
        caller = await world.connect()
        await caller.send(GET)
        while b"early" not in b"".join(got):
            got.append(await caller.stream.receive_some())
        first.set()
        while b"0\r\n\r\n" not in b"".join(got):
            got.append(await caller.stream.receive_some())
        await caller.stream.aclose()

    assert b"".join(got).endswith(b"5\r\nearly\r\n4\r\nlate\r\n0\r\n\r\n")


async def test_an_upload_streams_before_its_end_is_known() -> None:
    seen = trio.Event()

    async def watch(stream: trio.SocketStream, request: bytes) -> bool:
        await stream.send_all(OK)
        return True

    class Watching(Backend):
        async def _serve(self, stream: trio.SocketStream) -> None:
            data = b""
            while b"early" not in data:
                data += await stream.receive_some()
            seen.set()
            while not data.endswith(b"0\r\n\r\n"):
                data += await stream.receive_some()
            self.seen.append(data)
            await stream.send_all(OK)

    async with World().running(Watching()) as world:
        caller = await world.connect()
        await caller.send(b"POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")
        await seen.wait()
        await caller.send(b"4\r\nlate\r\n0\r\n\r\n")
        answer = await caller.answer()
        await caller.stream.aclose()

    assert answer.status == 200
    assert world.backends[0].seen[0].endswith(b"5\r\nearly\r\n4\r\nlate\r\n0\r\n\r\n")


async def test_trailers_pass_both_ways() -> None:
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n"
    async with World().running(Backend([reply])) as world:
        caller = await world.connect()
        await caller.send(GET)
        await caller.send(b"GET /end HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        rest = await caller.rest()
        await caller.stream.aclose()

    assert rest.count(b"1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n") == 2


async def test_100_continue_goes_end_to_end() -> None:
    class Polite(Backend):
        async def _serve(self, stream: trio.SocketStream) -> None:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            while not data.endswith(b"body"):
                data += await stream.receive_some()
            self.seen.append(data)
            await stream.send_all(OK)

    async with World().running(Polite()) as world:
        caller = await world.connect()
        await caller.send(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert (await caller.answer()).status == 100
        await caller.send(b"body")
        assert (await caller.answer()).status == 200
        await caller.stream.aclose()

    assert b"\r\nExpect: 100-continue\r\n" in world.backends[0].seen[0]


async def test_early_hints_reach_the_client() -> None:
    reply = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK
    async with World().running(Backend([reply])) as world:
        caller = await world.connect()
        await caller.send(GET)
        hint, final = await caller.answer(), await caller.answer()
        await caller.stream.aclose()

    assert (hint.status, hint.get("link"), final.status) == (103, "</x>", 200)


async def test_a_client_that_half_closes_at_once_still_gets_its_answer() -> None:
    async def slowly(stream: trio.SocketStream, request: bytes) -> bool:
        await trio.sleep(0.3)
        await stream.send_all(OK)
        return True

    async with World().running(Backend([slowly])) as world:
        caller = await world.connect()
        await caller.send(GET)
        await caller.stream.send_eof()
        answer = await caller.answer()
        await caller.stream.aclose()

    assert answer.body == b"ok"


async def test_a_client_that_goes_away_takes_its_request_along() -> None:
    asked, cut = trio.Event(), trio.Event()

    async def never(stream: trio.SocketStream, request: bytes) -> None:
        asked.set()
        assert await stream.receive_some() == b""
        cut.set()

    async with World().running(Backend([never])) as world:
        caller = await world.connect()
        await caller.send(GET)
        await asked.wait()
        await trio.sleep(0.15)  # beyond the grace for half-closes
        await caller.stream.aclose()
        with trio.fail_after(1):
            await cut.wait()

    assert cut.is_set()


@pytest.mark.parametrize(
    "torso",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", id="a length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", id="chunked"),
    ],
)
async def test_an_answer_that_breaks_off_is_never_a_clean_end(torso: bytes) -> None:
    async def break_off(stream: trio.SocketStream, request: bytes) -> None:
        await stream.send_all(torso)

    async with World().running(Backend([break_off])) as world:
        answer = await world.ask(GET)

    assert (answer.status, answer.whole) == (200, False)


@pytest.mark.parametrize(
    ("reply", "status", "error"),
    [
        pytest.param(CLOSE, 502, "http_response_incomplete", id="closed without a word"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: y", 502, "http_response_incomplete", id="closed inside the head"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", 502, "http_protocol_error", id="not HTTP"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502, "http_protocol_error",
            id="two lengths",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na", 502,
            "http_protocol_error", id="length and chunked",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", 502, "http_protocol_error", id="space before a colon"),
        pytest.param(b"HTTP/1.1 101 Switching\r\n\r\n", 502, "http_protocol_error", id="101 that nobody asked for"),
        pytest.param(b"HTTP/1.1 102 Wait\r\n\r\n" * 100, 502, "http_protocol_error", id="interim answers without end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, 502, "http_protocol_error", id="a head without end"),
    ],
)  # fmt: skip
async def test_what_a_broken_backend_says_becomes_a_clear_error(reply: bytes, status: int, error: str) -> None:
    async def say(stream: trio.SocketStream, request: bytes) -> None:
        await stream.send_all(reply)

    async with World().running(Backend([say])) as world:
        answer = await world.ask(GET.replace(b"GET", b"POST"))

    assert answer.status == status
    assert f"error={error};" in str(answer.get("proxy-status"))
    assert answer.get("l5d-err") is not None
    assert answer.get("l5d-retryable") is None


async def test_a_head_that_does_not_come_is_not_waited_for() -> None:
    async with World(limits=ServerLimits(head_time=0.3)).running(Backend()) as world:
        caller = await world.connect()
        await caller.send(b"GET / HTTP/1.1\r\nHo")
        answer = await caller.answer()
        await caller.stream.aclose()

    assert answer.status == 408


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with World(limits=ServerLimits(idle=0.3)).running(Backend()) as world:
        caller = await world.connect()
        await caller.send(GET)
        await caller.answer()
        rest = await caller.rest()
        await caller.stream.aclose()

    assert rest == b""


async def test_a_name_that_binds_to_nothing() -> None:
    async with World().running(Backend()) as world:
        answer = await world.ask(b"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n")

    assert answer.status == 502
    assert "error=destination_not_found;" in str(answer.get("proxy-status"))
    assert b"/svc/nobody" in answer.body
    assert b"base dtab" in answer.body


async def test_a_fixed_status_by_name() -> None:
    async with World(dtab="/svc/web => /$/io.buoyant.http.status/418").running() as world:
        answer = await world.ask(GET)

    assert answer.status == 418


async def test_a_refused_connection_says_that_nothing_was_sent() -> None:
    async with World(dtab=f"/svc/web => /$/inet/127.0.0.1/{free_port()}").running() as world:
        answer = await world.ask(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\n\r\na")

    assert (answer.status, answer.get("l5d-retryable")) == (502, "true")
    assert "error=connection_refused;" in str(answer.get("proxy-status"))


async def test_a_circle_is_seen() -> None:
    via = b"Via: " + b", ".join([b"1.1 nodeagent"] * 5)
    async with World(limits=ServerLimits(call_depth=4)).running(Backend()) as world:
        answer = await world.ask(b"GET / HTTP/1.1\r\nHost: web\r\n" + via + b"\r\n\r\n")

    assert (answer.status, world.backends[0].seen) == (502, [])
    assert "error=proxy_loop_detected;" in str(answer.get("proxy-status"))


async def test_the_agent_does_not_call_itself() -> None:
    port = free_port()
    async with World(dtab=f"/svc/web => /$/inet/127.0.0.1/{port}", own=lambda host, p: p == port).running() as world:
        answer = await world.ask(GET)

    assert answer.status == 502
    assert "error=proxy_loop_detected;" in str(answer.get("proxy-status"))


async def test_the_callers_own_dtab_moves_one_request_and_travels_on() -> None:
    async with World().running(Backend(), Backend([OK.replace(b"ok", b"v2")])) as world:
        override = b"/svc/web=>/$/inet/127.0.0.1/%d" % world.backends[1].port
        moved = await world.ask(b"GET / HTTP/1.1\r\nHost: web\r\nl5d-dtab: " + override + b"\r\n\r\n")
        plain = await world.ask(GET)

    assert (moved.body, plain.body) == (b"v2", b"ok")
    assert b"l5d-ctx-dtab: /svc/web => /$/inet/127.0.0.1/" in world.backends[1].seen[0]
    assert b"l5d-dtab" not in world.backends[1].seen[0]


async def test_compressed_bytes_pass_untouched() -> None:
    packed = gzip.compress(b"x" * 10_000, mtime=0)
    reply = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (
        len(packed),
        packed,
    )
    async with World().running(Backend([reply])) as world:
        answer = await world.ask(GET)

    assert (answer.get("content-encoding"), answer.body) == ("gzip", packed)


async def test_too_many_at_once_are_refused_at_once() -> None:
    asked, go = trio.Event(), trio.Event()

    async def wait(stream: trio.SocketStream, request: bytes) -> bool:
        asked.set()
        await go.wait()
        await stream.send_all(OK)
        return True

    async with World(limits=ServerLimits(concurrent=1)).running(Backend([wait])) as world:
        caller = await world.connect()
        await caller.send(GET)
        await asked.wait()
        refused = await world.ask(GET)
        go.set()
        served = await caller.answer()
        await caller.stream.aclose()

    assert (refused.status, refused.get("retry-after"), served.status) == (503, "1", 200)
    assert "error=connection_limit_reached;" in str(refused.get("proxy-status"))


async def test_a_drain_ends_idle_connections_and_waits_for_answers() -> None:
    asked, go = trio.Event(), trio.Event()

    async def wait(stream: trio.SocketStream, request: bytes) -> bool:
        asked.set()
        await go.wait()
        await stream.send_all(OK)
        return True

    async with World().running(Backend([wait])) as world:
        idle, busy = await world.connect(), await world.connect()
        await busy.send(GET)
        await asked.wait()
        world.server.drain()
        assert await idle.rest() == b""
        with pytest.raises(OSError, match="all attempts to connect"):
            await world.connect()
        go.set()
        answer = await busy.answer()
        assert await busy.rest() == b""
        await idle.stream.aclose()
        await busy.stream.aclose()

    assert (answer.status, answer.get("connection")) == (200, "close")


async def test_connect_opens_a_tunnel_to_a_logical_name() -> None:
    async def shout(stream: trio.SocketStream, request: bytes) -> None: ...

    class Shouting(Backend):
        async def _serve(self, stream: trio.SocketStream) -> None:
            while data := await stream.receive_some():
                await stream.send_all(data.upper())

    async with World().running(Shouting()) as world:
        caller = await world.connect()
        await caller.send(b"CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\n\r\nearly ")
        opened = await caller.answer("CONNECT")
        await caller.send(b"and late")
        await caller.stream.send_eof()
        rest = await caller.rest()
        await caller.stream.aclose()
        refused = await world.ask(b"CONNECT nobody:443 HTTP/1.1\r\nHost: nobody:443\r\n\r\n")

    assert (opened.status, rest) == (200, b"EARLY AND LATE")
    assert (refused.status, "error=destination_not_found;" in str(refused.get("proxy-status"))) == (502, True)


async def test_a_tunnel_reaches_the_port_that_was_asked_for_where_only_the_dns_knows() -> None:
    class Greeting(Backend):
        async def _serve(self, stream: trio.SocketStream) -> None:
            await stream.send_all(b"port %d" % self.port)

    dtab = "/ph => /$/io.buoyant.rinet ; /svc => /ph/80 ; /svc => /$/io.buoyant.porthostPfx/ph"
    allow = GuardPolicy(allow=(ip_network("127.0.0.1"),))  # a request spells out loopback here
    async with World(dtab=dtab, guard=allow).running(Greeting()) as world:
        port = world.backends[0].port
        caller = await world.connect()
        await caller.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
        opened = await caller.answer("CONNECT")
        greeting = await caller.rest()
        await caller.stream.aclose()

    assert (opened.status, greeting) == (200, b"port %d" % port)


async def test_an_attempt_has_its_own_time() -> None:
    async def never(stream: trio.SocketStream, request: bytes) -> None:
        await stream.receive_some()

    world = World(client=ClientPolicy(attempt_timeout=0.1))
    async with world.running(Backend([never])):
        answer = await world.ask(GET)

    assert answer.status == 504
    assert "error=http_response_timeout;" in str(answer.get("proxy-status"))
