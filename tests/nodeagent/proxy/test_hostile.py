"""Hostile callers, in bytes: what is refused never reaches a backend, what passes arrives in one unambiguous form.

The rows come from RFC 9110, RFC 9112 and the advisories of other proxies.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
import trio

from nodeagent.proxy.server import ServerLimits
from tests.nodeagent.proxy.world import Backend, World

HOST = b"Host: web"
CHUNKED = b"Transfer-Encoding: chunked"
GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"


@pytest.fixture(autouse=True)
def no_bug() -> Iterator[None]:
    """Whatever is thrown at the agent, it never says that it has a bug."""
    with structlog.testing.capture_logs() as logs:
        yield
    assert [entry for entry in logs if "a bug" in entry["event"]] == []


def request(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    return b"".join(part + b"\r\n" for part in (line, *fields, b"")) + body


def get(*fields: bytes, target: bytes = b"/") -> bytes:
    return request(b"GET " + target + b" HTTP/1.1", *fields)


def post(*fields: bytes, body: bytes = b"hello") -> bytes:
    return request(b"POST / HTTP/1.1", HOST, *fields, body=body)


async def settled(world: World) -> None:
    """Wait until no connection of a caller and no request is left."""
    with trio.fail_after(5):
        while world.server.conversations or world.server.in_flight:
            await trio.sleep(0.01)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World().running(Backend()) as running:
        yield running


LENGTHS = [b"", b"+5", b"-1", b"0x5", b"1_0", b"5, 5", b"5 5", b"\xd9\xa5", b"18446744073709551616"]
CODINGS = [b"", b"xchunked", b"chunked, identity", b"chunked;q=1", b"chunked, chunked", b"gzip, chunked", b"identity"]
DIRTY_CODINGS = [b"\x0bchunked", b"chunked\x0b", b"chunked\x0c", b"chunked\xa0", b"chunked\x00", b"chunked\x01"]
HOSTS = [
    b"", b"web,web", b"u@web", b"web/x", b"web#x", b"we b", b"web:", b"web:0", b"web:99999", b"web:a", b"..",
    b"../../etc/passwd", b"a" * 64, b"[::1%25eth0]", b"[::1", b"web|x", b"web=>x", b"*", b"$", b"web%2fx", b"web;",
    b"web;x=>/y", b"w\xc3\xa9b", b"web\x01", b"a" * 300, b"web?x", b"web\\x", b".web", b"web..",
]  # fmt: skip
TARGETS = [
    b"ftp://web/", b"file:///etc/passwd", b"gopher://web/", b"https://web/", b"http://", b"http:///x", b"web", b"*",
    b"http://u:p@web/", b"http:web", b"http://web:99999/", b"http://web/#f", b"/a#b", b"/a\\b", b"/a\xffb",
    b"/a%00b", b"/a b", b"/a\x7f", b"?x",
]  # fmt: skip
VERSIONS = [(b" HTTP/0.9", 505), (b" HTTP/1.10", 400), (b" HTTP/3.7", 505), (b" HTTP/2.0", 505), (b"", 400),
            (b" http/1.1", 400), (b"  HTTP/1.1", 400), (b" HTTP/1.1 ", 400)]  # fmt: skip
TUNNELS = [b"web", b"web:", b"web:0", b"web:1/x", b"/x", b"http://web:1/", b"*:1", b":1", b"web:1 x"]

REFUSED = [
    pytest.param(post(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"), 400, id="length and coding"),
    pytest.param(post(b"X: \xff", b"Content-Length: 5", CHUNKED), 400, id="the same, obs-text beside"),
    pytest.param(post(b"Content-Length: 5", b"Content-Length: 6"), 400, id="two lengths"),
    pytest.param(post(b"X: \xff", b"Content-Length: 5", b"Content-Length: 6"), 400, id="obs-text beside"),
    *[pytest.param(post(b"Content-Length: " + v), 400, id=f"length {v!r}") for v in LENGTHS],
    *[pytest.param(post(b"Transfer-Encoding: " + v), 501, id=f"coding {v!r}") for v in CODINGS],
    pytest.param(post(CHUNKED, CHUNKED), 501, id="coding twice"),
    *[pytest.param(post(b"Transfer-Encoding: " + v), 400, id=f"coding {v!r}") for v in DIRTY_CODINGS],
    pytest.param(post(b"Transfer-Encoding : chunked"), 400, id="space before the colon"),
    pytest.param(post(b"Transfer-Encoding\x0b: chunked"), 400, id="VT before the colon"),
    pytest.param(request(b"POST / HTTP/1.0", HOST, CHUNKED), 400, id="coding in HTTP/1.0"),
    pytest.param(GET.replace(b"\r", b""), 400, id="bare LF"),
    pytest.param(get(HOST, b"X: y\nZ: q"), 400, id="one bare LF"),
    *[pytest.param(get(HOST, b"X: a" + v), 400, id=f"{v!r} in a value") for v in (b"\rb", b"\0b", b"\x0bb")],
    pytest.param(get(HOST, b"X : y"), 400, id="space before a colon"),
    pytest.param(get(HOST, b"X: y", b" z"), 400, id="folding"),
    pytest.param(get(b" X: y", HOST), 400, id="white space first"),
    pytest.param(get(HOST, b": y"), 400, id="empty name"),
    pytest.param(get(HOST, b"y"), 400, id="no colon"),
    pytest.param(b"\r\n" * 1000 + GET, 400, id="blank lines"),
    pytest.param(get(HOST, target=b"/" + b"a" * 1_000_000), 414, id="MB of target"),
    pytest.param(b"a" * 1_000_000, 414, id="MB and no line end"),
    pytest.param(get(HOST, *[b"X: y"] * 10_000), 431, id="fields"),
    pytest.param(get(HOST, *[b"X: y"] * 200), 431, id="short fields"),
    pytest.param(get(HOST, b"X: " + b"y" * 65536), 431, id="one field of 64 KiB"),
    pytest.param(request(b"A" * 10_240 + b" / HTTP/1.1", HOST), 414, id="a method of 10 KB"),
    *[pytest.param(request(m + b" / HTTP/1.1", HOST), 501, id=f"{m!r}") for m in (b"get", b"G:T", b"A" * 25)],
    *[pytest.param(request(b"GET /" + v, HOST), s, id=f"version {v!r}") for v, s in VERSIONS],
    pytest.param(request(b"GET\t/\tHTTP/1.1", HOST), 400, id="tabs in the request line"),
    pytest.param(get(), 400, id="no Host"),
    pytest.param(get(HOST, HOST), 400, id="two Hosts"),
    pytest.param(get(HOST, HOST, b"X: \xff"), 400, id="two Hosts, obs-text beside"),
    *[pytest.param(get(b"Host: " + v), 400, id=f"Host {v!r:.40}") for v in HOSTS],
    pytest.param(get(target=b"http://web/"), 400, id="absolute form, no Host"),
    *[pytest.param(get(HOST, target=t), 400, id=f"target {t!r}") for t in TARGETS],
    *[pytest.param(request(b"CONNECT " + t + b" HTTP/1.1", HOST), 400, id=f"CONNECT {t!r}") for t in TUNNELS],
    pytest.param(request(b"CONNECT web:1 HTTP/1.1", HOST, CHUNKED), 400, id="CONNECT with a body"),
    pytest.param(post(b"Expect: cake", b"Content-Length: 5"), 417, id="unknown Expect"),
    pytest.param(get(HOST, b"l5d-dtab: /svc=>/\xff"), 400, id="a dtab with raw bytes"),
]


@pytest.mark.parametrize(("hostile", "status"), REFUSED)
async def test_what_is_not_plainly_http_is_refused(world: World, hostile: bytes, status: int) -> None:
    caller = await world.connect()
    with contextlib.suppress(trio.BrokenResourceError):  # the agent has stopped listening
        await caller.send(hostile)
    answer = await caller.answer()
    await caller.stream.aclose()
    await settled(world)

    assert (answer.status, bytes(caller.buffer), world.backends[0].seen) == (status, b"", [])


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(get(), id="no Host"),
        pytest.param(post(b"Content-Length: 5", CHUNKED), id="a length and chunks"),
        pytest.param(post(b"Content-Length: 5", b"Content-Length: 6"), id="two lengths"),
        pytest.param(post(b"Transfer-Encoding: xchunked"), id="an unknown coding"),
        pytest.param(post(b"Expect: cake", b"Content-Length: 5"), id="an unknown expectation"),
        pytest.param(get(HOST, b"X : y"), id="space before a colon"),
        pytest.param(get(HOST, *[b"X: y"] * 200), id="too many fields"),
        pytest.param(request(b"CONNECT web HTTP/1.1", HOST), id="CONNECT without a port"),
        pytest.param(get(HOST, b"Connection: close"), id="close"),
    ],
)
async def test_nothing_behind_a_refusal_or_a_close_is_a_request(world: World, first: bytes) -> None:
    caller = await world.connect()
    await caller.send(first + SMUGGLED)
    await caller.answer()
    rest = await caller.rest()
    await caller.stream.aclose()

    assert rest == b""
    assert not any(b"smuggled" in seen for seen in world.backends[0].seen)


@pytest.mark.parametrize(
    ("first", "status"),
    [
        pytest.param(get(b"Host: nobody"), 502, id="no such name"),
        pytest.param(get(HOST, b"l5d-dtab: /a=>"), 400, id="a bad dtab"),
        pytest.param(post(b"Content-Length: 5", b"l5d-dtab: /a=>"), 400, id="a bad dtab and a body"),
        pytest.param(request(b"HEAD / HTTP/1.1", b"Host: nobody"), 502, id="HEAD"),
        pytest.param(
            request(b"POST / HTTP/1.1", b"Host: nobody", b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED), 502,
            id="a body that looks like a request",
        ),
    ],
)  # fmt: skip
async def test_an_error_with_sound_framing_keeps_the_connection_in_step(
    world: World, first: bytes, status: int
) -> None:
    caller = await world.connect()
    await caller.send(first + GET)
    answers = [await caller.answer(first[:4].decode()), await caller.answer()]
    await caller.stream.aclose()

    assert [answer.status for answer in answers] == [status, 200]
    assert [seen[:16] for seen in world.backends[0].seen] == [b"GET / HTTP/1.1\r\n"]


PASSED = [
    pytest.param(post(b"X: \xff", b"Content-Length: 5"), (b"POST / HTTP/1.1", HOST, b"X: \xff"), id="obs-text"),
    pytest.param(post(b"Content-Length: 00005"), (b"POST / HTTP/1.1", HOST), id="leading zeros"),
    pytest.param(b"\r\n" + GET, (b"GET / HTTP/1.1", HOST), id="one blank line"),
    pytest.param(request(b"PROPFIND / HTTP/1.1", HOST), (b"PROPFIND / HTTP/1.1", HOST), id="another method"),
    pytest.param(
        get(b"Host: evil", target=b"http://web/x"), (b"GET /x HTTP/1.1", HOST), id="the target beats Host"
    ),
    pytest.param(get(HOST, target=b"http://web?x"), (b"GET /?x HTTP/1.1", HOST), id="a query and no path"),
    pytest.param(get(HOST, target=b"//web/x"), (b"GET //web/x HTTP/1.1", HOST), id="two slashes are a path"),
    pytest.param(
        get(HOST, target=b"/a/%2e%2e/x%2Fy;z"), (b"GET /a/%2e%2e/x%2Fy;z HTTP/1.1", HOST), id="untouched"
    ),
    pytest.param(get(b"Host: WEB."), (b"GET / HTTP/1.1", b"Host: WEB."), id="case and final dot"),
    pytest.param(request(b"OPTIONS * HTTP/1.1", HOST), (b"OPTIONS * HTTP/1.1", HOST), id="OPTIONS *"),
    pytest.param(
        post(b"Connection: content-length, host, X-A", b"X-A: 1", b"Content-Length: 5"),
        (b"POST / HTTP/1.1", HOST),
        id="framing cannot be nominated away",
    ),
    pytest.param(
        get(HOST, b"Proxy-Authorization: x", b"Keep-Alive: 5", b"TE: trailers", b"Trailer: x", b"Upgrade: h2c",
            b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: x", b"Proxy-Connection: x"),
        (b"GET / HTTP/1.1", HOST), id="fields of one hop",
    ),
    pytest.param(
        get(HOST, b"l5d-dst-service: /x", b"l5d-dst-client: /x", b"l5d-dst-residual: /x"),
        (b"GET / HTTP/1.1", HOST),
        id="the agent's own fields, forged",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "expected"), PASSED)
async def test_what_passes_arrives_in_one_form(world: World, sent: bytes, expected: tuple[bytes, ...]) -> None:
    answer = await world.ask(sent)

    assert answer.status == 200
    lines, _, body = world.backends[0].seen[0].partition(b"\r\n\r\n")
    own = (b"Via: 1.1 nodeagent", b"l5d-dst-service: /svc/web", b"l5d-dst-client: ")
    kept = tuple(line for line in lines.split(b"\r\n") if not line.startswith(own))
    assert kept == ((*expected, b"Content-Length: 5") if sent.startswith(b"POST") else expected)
    assert body == (b"hello" if sent.startswith(b"POST") else b"")


FORBIDDEN = b"Content-Length: 9\r\nHost: evil\r\nAuthorization: x\r\nCookie: x\r\nTransfer-Encoding: chunked\r\n"


async def test_trailers_that_frame_or_authorise_are_dropped(world: World) -> None:
    await world.ask(post(CHUNKED, body=b"5\r\nhello\r\n0\r\n" + FORBIDDEN + b"\r\n"))

    assert world.backends[0].seen[0].endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


async def test_pipelined_bodies_stay_apart(world: World) -> None:
    one = post(b"Content-Length: 5", body=b"first")
    two = post(CHUNKED, body=b"3;x=y\r\nsec\r\n3\r\nond\r\n0\r\n\r\n")
    caller = await world.connect()
    await caller.send((one + two + GET) * 3)
    statuses = [(await caller.answer()).status for _ in range(9)]
    await caller.stream.aclose()

    assert statuses == [200] * 9
    bodies = [seen.partition(b"\r\n\r\n")[2] for seen in world.backends[0].seen]
    assert [body[:5] for body in bodies[::3]] == [b"first"] * 3
    assert bodies[2::3] == [b""] * 3
    assert all(b"".join(body.split(b"\r\n")[1::2]) == b"second" for body in bodies[1::3])


async def test_a_chunked_body_may_arrive_byte_by_byte(world: World) -> None:
    caller = await world.connect()
    await caller.send(post(CHUNKED, body=b""))
    for byte in b"5;a=b\r\nhello\r\n0\r\n\r\n":
        await caller.send(bytes([byte]))
        await trio.sleep(0.001)
    answer = await caller.answer()
    await caller.send(GET)
    again = await caller.answer()
    await caller.stream.aclose()

    assert (answer.status, again.status) == (200, 200)
    assert world.backends[0].seen[0].endswith(b"0\r\n\r\n")


# Many callers.


async def test_a_byte_at_a_time_does_not_hold_a_connection() -> None:
    async with World(limits=ServerLimits(head_time=0.4)).running(Backend()) as world:
        caller = await world.connect()
        for byte in b"GET /and":
            await caller.send(bytes([byte]))
            await trio.sleep(0.03)
        assert (await caller.answer()).status == 408
        await caller.stream.aclose()
        await settled(world)


async def test_a_thousand_connections_come_and_go() -> None:
    async def one(world: World, number: int) -> None:
        caller = await world.connect()
        if number % 3:
            await caller.send(GET if number % 2 else GET[:9])
        if number % 5:
            linger = struct.pack("ii", 1, 0)
            caller.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            caller.stream.socket.close()
        else:
            await caller.stream.aclose()

    async with World().running(Backend()) as world:
        for start in range(0, 1000, 100):
            async with trio.open_nursery() as nursery:
                for number in range(start, start + 100):
                    nursery.start_soon(one, world, number)
        await settled(world)
        assert world.server.stats.connections == 0
        assert (await world.ask(GET)).status == 200


AGENT = """
import resource, trio
from tests.nodeagent.proxy.world import World
async def main():
    async with World(dtab="/svc/web => /$/io.buoyant.http.status/200").running() as world:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        print(world.port, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


def test_an_agent_without_descriptors_serves_whom_it_has_and_recovers() -> None:
    with subprocess.Popen([sys.executable, "-c", AGENT], stdout=subprocess.PIPE) as agent:
        try:
            assert agent.stdout is not None
            port = int(agent.stdout.readline())
            first = socket.create_connection(("127.0.0.1", port), 5)
            assert _answer(first).startswith(b"HTTP/1.1 200")
            crowd = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(60)]
            assert _answer(first).startswith(b"HTTP/1.1 200")
            for sock in crowd:
                sock.close()
            with socket.create_connection(("127.0.0.1", port), 5) as late:
                assert _answer(late).startswith(b"HTTP/1.1 200")
            first.close()
        finally:
            agent.kill()


def _answer(sock: socket.socket) -> bytes:
    sock.sendall(GET)
    return sock.recv(65536)
