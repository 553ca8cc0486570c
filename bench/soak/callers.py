"""Callers of every kind: those that behave, those that are slow, and those that go away in the middle.

Each kind is one short conversation with the agent, which says what it saw. What kind is next is drawn by chance.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import h11
import trio

from bench.soak import endpoints
from bench.soak.attribution import Ledger, Seen

ANSWER_SECONDS = 20.0
PAUSE_SECONDS = 0.1
IDLE_SECONDS = 5.0
UPLOAD = 100_000


class Unexpected(Exception):
    """The answer is not what it should be; says what was *seen*, and more in its text."""

    def __init__(self, seen: Seen, text: str) -> None:
        super().__init__(text)
        self.seen = seen


@dataclass(frozen=True, slots=True)
class Target:
    """Where the agent listens, and the names that can be asked for now."""

    port: int
    known: Callable[[], str]
    unknown: Callable[[], str]
    fragile: str
    tunnelled: str


class Line:
    """One connection to the agent, on which requests are sent and answers read."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._wire = h11.Connection(h11.CLIENT)

    async def ask(self, host: str, path: str, body: bytes = b"", *, chunked: bool = False) -> None:
        """Send a request whole; a POST if it has a body. Raises Unexpected when the answer before was the last one."""
        if self._wire.our_state is not h11.IDLE:
            raise Unexpected(Seen.CUT, "the agent wanted no further request on this connection")
        framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body)))
        headers = [("Host", host), *([framing] if body else [])]
        request = h11.Request(method="POST" if body else "GET", target=path, headers=headers)
        data = self._wire.send(request) or b""
        for start in range(0, len(body), 10_000):
            data += self._wire.send(h11.Data(data=body[start : start + 10_000])) or b""
        await self.stream.send_all(data + (self._wire.send(h11.EndOfMessage()) or b""))

    async def answer(self, pause: float = 0.0) -> tuple[h11.Response, bytes]:
        """Read an answer whole, and be ready for the next request; *pause* before every read makes a slow reader.

        Raises h11.RemoteProtocolError when the connection ends early, and what the stream raises.
        """
        body, response = bytearray(), None
        while not isinstance(event := self._wire.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                await trio.sleep(pause)
                self._wire.receive_data(await self.stream.receive_some(16_384))
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.ConnectionClosed):
                raise Unexpected(Seen.CUT, "the connection ended instead of an answer")
        assert response is not None
        if self._wire.our_state is h11.DONE and self._wire.their_state is h11.DONE:
            self._wire.start_next_cycle()
        return response, bytes(body)

    async def expect(self, body: bytes, pause: float = 0.0) -> None:
        """Read an answer; raises Unexpected unless it is 200 with this body."""
        response, got = await self.answer(pause)
        check(response, got, body)


def check(response: h11.Response, got: bytes, body: bytes) -> None:
    """Raise Unexpected unless the answer is 200 with this body."""
    if response.status_code in (502, 504):
        raise Unexpected(Seen.REFUSED, f"{response.status_code} {got[:300]!r}")
    if response.status_code != 200:
        raise Unexpected(Seen.STATUS, f"{response.status_code} {got[:300]!r}")
    if got != body:
        raise Unexpected(Seen.WRONG, f"{len(got)} bytes instead of {len(body)}")


async def connected(target: Target, *, buffer: int | None = None) -> trio.SocketStream:
    """A connection to the agent; *buffer* makes its receive buffer small."""
    sock = trio.socket.socket()
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    try:
        await sock.connect(("127.0.0.1", target.port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


# --- the kinds ---


async def keep_alive(target: Target) -> Seen:
    """Several names on one connection."""
    async with await connected(target) as stream:
        line = Line(stream)
        for _ in range(5):
            await line.ask(target.known(), "/small")
            await line.expect(endpoints.SMALL)
    return Seen.OK


async def new_connection(target: Target) -> Seen:
    """One request on a connection of its own."""
    async with await connected(target) as stream:
        line = Line(stream)
        await line.ask(target.known(), "/small")
        await line.expect(endpoints.SMALL)
    return Seen.OK


async def idle(target: Target) -> Seen:
    """A connection that is kept for some seconds, and used again."""
    async with await connected(target) as stream:
        line = Line(stream)
        for wait in (IDLE_SECONDS, 0.0):
            await line.ask(target.known(), "/small")
            await line.expect(endpoints.SMALL)
            await trio.sleep(wait)
    return Seen.OK


async def unknown_name(target: Target) -> Seen:
    """A name that nobody has."""
    async with await connected(target) as stream:
        line = Line(stream)
        await line.ask(target.unknown(), "/small")
        await line.expect(b"")
    return Seen.OK


async def chunked(target: Target) -> Seen:
    """An answer in chunks that take their time."""
    async with await connected(target) as stream:
        line = Line(stream)
        await line.ask(target.known(), "/chunked")
        await line.expect(endpoints.CHUNK * endpoints.CHUNKS)
    return Seen.OK


async def slow_reader(target: Target) -> Seen:
    """A large answer, read in small pieces with pauses."""
    async with await connected(target, buffer=8192) as stream:
        line = Line(stream)
        await line.ask(target.known(), "/large")
        await line.expect(endpoints.LARGE, pause=0.02)
    return Seen.OK


async def slow_endpoint(target: Target) -> Seen:
    """An answer that takes half a second."""
    async with await connected(target) as stream:
        line = Line(stream)
        await line.ask(target.known(), "/slow")
        await line.expect(endpoints.SMALL)
    return Seen.OK


async def upload(target: Target) -> Seen:
    """A body with its length, then one in chunks."""
    async with await connected(target) as stream:
        line = Line(stream)
        for in_chunks in (False, True):
            await line.ask(target.known(), "/upload", b"u" * UPLOAD, chunked=in_chunks)
            await line.expect(str(UPLOAD).encode())
    return Seen.OK


async def tunnel(target: Target) -> Seen:
    """Two requests in a tunnel, and a half-close at its end."""
    async with await connected(target) as stream:
        await _open_tunnel(stream, target)
        line = Line(stream)
        for _ in range(2):
            await line.ask("web", "/small")
            await line.expect(endpoints.SMALL)
        await stream.send_eof()
        while await stream.receive_some(65536):
            pass
    return Seen.OK


async def _open_tunnel(stream: trio.SocketStream, target: Target) -> None:
    await stream.send_all(f"CONNECT {target.tunnelled} HTTP/1.1\r\nHost: {target.tunnelled}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        data = await stream.receive_some(65536)
        if not data:
            raise Unexpected(Seen.CUT, f"no tunnel: {head[:300]!r}")
        head += data
    if not head.startswith(b"HTTP/1.1 200"):
        raise Unexpected(Seen.REFUSED, f"no tunnel: {head[:300]!r}")


async def abort_in_request(target: Target) -> Seen:
    """A reset after half a head, or after half a body."""
    stream = await connected(target)
    head = f"POST /upload HTTP/1.1\r\nHost: {target.known()}\r\nContent-Length: 1000\r\n\r\n".encode() + b"u" * 500
    await stream.send_all(head[: random.randrange(1, len(head))])
    await trio.sleep(random.choice((0.0, 0.05)))
    endpoints.reset(stream.socket)
    return Seen.GONE


async def abort_in_response(target: Target) -> Seen:
    """A reset while the answer is waited for, or is coming."""
    stream = await connected(target, buffer=8192)
    path = random.choice(("/slow", "/large", "/chunked"))
    await Line(stream).ask(target.known(), path)
    await (trio.sleep(0.05) if path == "/slow" else stream.receive_some(1000))
    endpoints.reset(stream.socket)
    return Seen.GONE


async def abort_in_tunnel(target: Target) -> Seen:
    """A reset of an open tunnel."""
    stream = await connected(target)
    await _open_tunnel(stream, target)
    await Line(stream).ask("web", "/small")
    endpoints.reset(stream.socket)
    return Seen.GONE


async def reset_before(target: Target) -> Seen:
    """The endpoint resets its connection instead of answering."""
    async with await connected(target) as stream:
        line = Line(stream)
        await line.ask(target.fragile, "/reset")
        await line.expect(b"")
    return Seen.OK


async def reset_within(target: Target) -> Seen:
    """The endpoint resets its connection within its answer."""
    async with await connected(target) as stream:
        line = Line(stream)
        await line.ask(target.fragile, "/reset-within")
        await line.expect(b"")
    return Seen.OK


KINDS: Mapping[str, tuple[Callable[[Target], Awaitable[Seen]], int]] = {
    "keep-alive": (keep_alive, 10),
    "new connection": (new_connection, 20),
    "idle": (idle, 2),
    "unknown name": (unknown_name, 10),
    "chunked": (chunked, 5),
    "slow reader": (slow_reader, 3),
    "slow endpoint": (slow_endpoint, 3),
    "upload": (upload, 5),
    "tunnel": (tunnel, 5),
    "abort in request": (abort_in_request, 8),
    "abort in response": (abort_in_response, 8),
    "abort in tunnel": (abort_in_tunnel, 3),
    "backend resets before": (reset_before, 2),
    "backend resets within": (reset_within, 2),
}
"""By name: the conversation, and how often it is drawn beside the others."""


async def converse(kind: str, target: Target, ledger: Ledger) -> None:
    """Have one conversation and note what was seen."""
    act, _ = KINDS[kind]
    try:
        with trio.fail_after(ANSWER_SECONDS):
            ledger.note(kind, await act(target))
    except Unexpected as error:
        ledger.note(kind, error.seen, str(error))
    except (h11.RemoteProtocolError, OSError, trio.BrokenResourceError) as error:
        ledger.note(kind, Seen.CUT, repr(error))
    except trio.TooSlowError:
        ledger.note(kind, Seen.LATE, f"{ANSWER_SECONDS:g} s")


async def work(target: Target, ledger: Ledger, rng: random.Random) -> None:
    """One conversation after the other, until cancelled between two of them."""
    kinds = list(KINDS)
    weights = [weight for _, weight in KINDS.values()]
    while True:
        await trio.sleep(rng.expovariate(1 / PAUSE_SECONDS))
        with trio.CancelScope(shield=True):  # a caller that is cut short would look like a failure
            await converse(rng.choices(kinds, weights)[0], target, ledger)
