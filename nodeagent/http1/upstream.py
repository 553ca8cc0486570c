"""One HTTP/1.1 connection to a backend: one exchange after another. An edge.

The cheap case is one `send` (head and body together), one `recv` (head and body together), and the connection is free
again before the answer is passed on. A body that streams is sent by a task of its own in the request's nursery, so
that an early answer, a 100 or a refusal, is seen while it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

import trio

from nodeagent.http1.body import CHUNKED, UNTIL_CLOSE, ChunkedDecoder, Ended, StreamBody, both, response_framing
from nodeagent.http1.head import MAX_RESPONSE_HEAD, ResponseHead, has_bare_line_end, parse_response
from nodeagent.http1.upgrade import check_switch, switch_fields
from nodeagent.proxy.errors import ConnectionStale, ProxyError, ResponseIncomplete, ResponseInvalid
from nodeagent.proxy.idlelimit import announced
from nodeagent.proxy.messages import Body, Request, Response
from nodeagent.proxy.replay import ReplayBody
from nodeagent.proxy.splice import BULK
from nodeagent.proxy.tlsfaults import refused_by_peer
from nodeagent.proxy.wire import CLOSED, Wire

MAX_INTERIM = 32
"""1xx responses before the final one; more is a fault of the backend (RFC 9110, 15.2)."""


class Http1Connection:
    """A connection to one endpoint, busy with at most one exchange. `where` ("10.0.0.7:8080") is for error texts."""

    __slots__ = (
        "_sender",
        "exchanges",
        "idle_limit",
        "idle_since",
        "on_end",
        "opened_at",
        "reusable",
        "use_before",
        "where",
        "wire",
    )

    def __init__(self, wire: Wire, where: str, now: float) -> None:
        self.wire = wire
        self.where = where
        self.opened_at = now
        self.idle_since = now
        self.idle_limit = inf
        """Seconds that the backend lets it be unused, by its own word, less a margin."""
        self.use_before = inf
        """When an idle one is too old to be used."""
        self.exchanges = 0
        """How many were begun."""
        self.reusable = False
        """Whether the last exchange left it clean."""
        self.on_end: Callable[[bool], None] | None = None
        """Called once when a streaming response body is over; with True when it came whole. See `reusable`."""
        self._sender: _Sender | None = None

    async def exchange(self, request: Request) -> Response:
        """Send `request`, return the head of the final response.

        The body is `bytes` when all of it is here; the connection is free then. Otherwise `on_end` tells when.
        Raises ResponseIncomplete (with `unsent` when provable) or ResponseInvalid, or what the request's own body
        raises; the connection must be closed then. Cancelling leaves it broken: close it.
        """
        self.exchanges += 1
        self.reusable = False
        wire, body = self.wire, request.body
        message = render_request(request)
        sent = -1
        try:
            sent = wire.send_nowait(message)
            if sent != len(message):
                await wire.send(message, sent)
        except CLOSED as error:
            raise self._lost(f"closed the connection ({error})", unsent=sent < 0) from None
        if not isinstance(body, bytes):
            return self._response(request, await self._read_head_while_sending(request, len(message), body))
        try:
            wire.buffer = await wire.receive()  # mostly the whole answer, so it is looked at here
        except CLOSED as error:
            raise self._broken(error) from None
        head = self._take_head()
        if head is None or head.status < 200:
            head = await self._read_head(request, len(message), head)
        return self._response(request, head)

    async def _read_head_while_sending(self, request: Request, size: int, body: Body) -> ResponseHead:
        if request.nursery is None:
            raise AssertionError("a streaming body needs the request's nursery")
        self._sender = _Sender(self.wire, body)
        request.nursery.start_soon(self._sender.run)
        try:
            return await self._read_head(request, size)
        except BaseException as error:
            await self._stop_sending(error)
            raise

    def _lost(self, what: str, *, unsent: bool) -> ResponseIncomplete:
        if unsent and self.exchanges > 1:
            return ConnectionStale(f"{self.where} {what} while it was kept")
        return ResponseIncomplete(f"{self.where} {what}", unsent=unsent)

    def _is_unsent(self, size: int) -> bool:
        """Tell whether nothing of a request was taken by the backend, which has ended without a word.

        `size` is what was sent of it but for a streaming body. A body that was begun and cannot be sent again is of no
        use to a repeat, so it counts as sent (RFC 9112, 9.3.1: repeat what is known not to have been processed).
        """
        sender = self._sender
        if sender is None:
            return self.wire.took_none(size)
        return sender.can_restart and self.wire.took_none(size + sender.passed)

    async def _read_head(self, request: Request, size: int, head: ResponseHead | None = None) -> ResponseHead:
        """Read on after `head` to the head of the final response; `size` bytes were sent before the request's body."""
        wire = self.wire
        interims = 0
        while True:
            if head is None:
                if len(wire.buffer) > MAX_RESPONSE_HEAD:
                    raise ResponseInvalid(f"{self.where} sent a response head of over {MAX_RESPONSE_HEAD} bytes")
                if wire.buffer and has_bare_line_end(wire.buffer):
                    raise ResponseInvalid(f"{self.where}: a line of the response head ends without CRLF")
                try:
                    data = await wire.receive()
                except CLOSED as error:
                    raise self._broken(error) from None
                if not data:
                    unsent = not wire.buffer and not interims and self._is_unsent(size)
                    raise self._lost("closed the connection before a whole response head", unsent=unsent)
                wire.buffer += data
            elif head.status >= 200 or (head.status == 101 and b"upgrade" in request.head.special):
                return head
            else:
                interims += 1
                if head.status == 101 or interims > MAX_INTERIM:
                    raise ResponseInvalid(f"{self.where} sent {head.status} where a final response was due")
                if request.interim is not None:
                    await request.interim(head.status, head.fields)
            head = self._take_head()

    def _take_head(self) -> ResponseHead | None:
        """Take the next head, final or not, out of what was read; None while it is not whole."""
        buffer = self.wire.buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        try:
            head = parse_response(buffer[: end + 4])
        except ResponseInvalid as error:
            raise ResponseInvalid(f"{self.where}: {error.message}") from None
        self.wire.buffer = buffer[end + 4 :]
        return head

    def _broken(self, error: BaseException) -> ProxyError:
        if self._sender is not None and self._sender.error is not None:
            return self._sender.error
        if self.exchanges == 1 and (refusal := refused_by_peer(error, self.where)) is not None:
            return refusal
        return ResponseIncomplete(f"{self.where} broke the connection before a whole response head ({error})")

    def _response(self, request: Request, head: ResponseHead) -> Response:
        wire = self.wire
        status, reason, version, fields, special, keep = head
        method = request.head.method
        try:
            if status == 101:
                check_switch(request.head, head)
                switched = Switched(wire, lambda whole: self._body_ended(whole, keep=False))
                return Response(status, reason, fields, special, switched, None)
            framing = response_framing(method, status, version, special)
        except ResponseInvalid as error:
            raise ResponseInvalid(f"{self.where}: {error.message}") from None
        keep = keep and framing != UNTIL_CLOSE
        if b"keep-alive" in special:
            self.idle_limit = announced(special[b"keep-alive"])
        buffer = wire.buffer
        if framing == CHUNKED and buffer.endswith(b"0\r\n\r\n"):
            decoder = ChunkedDecoder(self._invalid)
            body = decoder.feed(buffer)
            if decoder.done and not decoder.trailers:  # all of it is here: no need to stream it
                wire.buffer = decoder.leftover()
                self.reusable = keep and not wire.buffer and self._sent_all()
                return Response(status, reason, fields, special, body, None if body else 0)
        if not 0 <= framing <= len(buffer):
            stream = StreamBody(wire, framing, self._incomplete, lambda whole: self._body_ended(whole, keep=keep))
            return Response(status, reason, fields, special, stream, stream.length)
        wire.buffer = buffer[framing:]
        # Bytes behind the end of a response belong to nobody (RFC 9112, 11.2): the connection is given up.
        self.reusable = keep and not wire.buffer and self._sent_all()
        length = framing or _announced_length(method, status, special)
        return Response(status, reason, fields, special, buffer[:framing], length)

    def _body_ended(self, whole: bool, *, keep: bool) -> None:
        self.reusable = self._sent_all() and whole and keep and not self.wire.buffer
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(whole)

    def _invalid(self, what: str) -> ProxyError:
        return ResponseInvalid(f"{self.where}: {what}")

    def _incomplete(self, what: str) -> ProxyError:
        return ResponseIncomplete(f"{self.where}: {what}")

    def _sent_all(self) -> bool:
        sender, self._sender = self._sender, None
        if sender is None:
            return True
        sender.scope.cancel()
        return sender.whole

    async def _stop_sending(self, cause: BaseException) -> None:
        """End the task that sends the body before anybody else reads that body. `cause` may be a cancellation."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.scope.cancel()
            with trio.CancelScope(shield=True):  # short: the sender is cancelled already
                await sender.stopped.wait()
            if isinstance(cause, ProxyError) and sender.error is not None:
                raise sender.error from None

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self.wire.close()


def render_request(request: Request) -> bytes:
    """Write the request for an HTTP/1.1 backend, Host first (RFC 9112, 3.2); with its body, unless that streams."""
    head, body = request.head, request.body
    framing = b""
    if head.special:
        framing = _framing(head.special, body)
    return b"".join((
        head.method, b" ", head.path, b" HTTP/1.1\r\nHost: ", head.authority, b"\r\n",
        request.fields, framing, b"\r\n", body if isinstance(body, bytes) else b"",
    ))  # fmt: skip


def _framing(special: Mapping[bytes, bytes], body: bytes | Body) -> bytes:
    if not isinstance(body, bytes):
        fields = b"Transfer-Encoding: chunked\r\n" if body.length is None else b"Content-Length: %d\r\n" % body.length
    elif body or b"content-length" in special:
        fields = b"Content-Length: %d\r\n" % len(body)
    else:
        fields = b""
    if b"expect" in special:
        fields += b"Expect: 100-continue\r\n"
    return fields + switch_fields(special[b"upgrade"]) if b"upgrade" in special else fields


def _announced_length(method: bytes, status: int, special: Mapping[bytes, bytes]) -> int | None:
    """Return what Content-Length a response without a body may show (RFC 9110, 8.6)."""
    if method != b"HEAD" and status != 304:
        return None if status == 204 or status < 200 else 0
    length = special.get(b"content-length")
    return int(length) if length is not None and length.isdigit() and len(length) < 19 else None


class Switched:
    """What is there instead of a body when a response has switched protocols: the connection itself."""

    __slots__ = ("_ended", "length", "trailers", "wire")

    def __init__(self, wire: Wire, ended: Ended) -> None:
        self.wire = wire
        self.length: int | None = None
        self.trailers: list[bytes] = []
        self._ended: Ended | None = ended

    async def read(self) -> bytes:
        """Return some bytes of the other protocol. Raises as `Wire.receive`."""
        return await self.wire.read()

    async def pour(self, sink: Wire, moved: Callable[[int], None]) -> None:
        """Do nothing: a tunnel does what is to be done."""

    def end(self, whole: bool) -> None:
        """Tell that both sides have ended, or that the connection broke. Idempotent."""
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(whole)

    def close(self) -> None:
        """Give it up."""
        self.end(False)

    def then(self, over: Callable[[], None]) -> None:
        """As `ResponseBody.then`."""
        self._ended = both(self._ended, over)


class _Sender:
    """The task that sends a streaming request body."""

    def __init__(self, wire: Wire, body: Body) -> None:
        self.scope = trio.CancelScope()
        self.stopped = trio.Event()
        self.whole = False
        self.passed = 0
        """Bytes of the message's body that may have been written."""
        self.can_restart = True
        """Whether the body can be sent from its beginning, as far as it was read, and no write has failed."""
        self.error: ProxyError | None = None
        """What the caller's side of the body raised: it wins over what the backend says about the torso."""
        self._wire = wire
        self._body = body

    async def run(self) -> None:
        """Send until the body ends. Cancelling leaves the connection broken."""
        try:
            with self.scope:
                await self._send()
        except ProxyError as error:
            self.error = error
            self._wire.abort()
        except CLOSED:
            self.can_restart = False  # the backend stopped listening; what it answers, if anything, the exchange reads
        finally:
            self.stopped.set()

    async def _send(self) -> None:
        wire, body = self._wire, self._body
        chunked = body.length is None
        while piece := await body.read():
            self.can_restart = isinstance(body, ReplayBody) and body.restartable
            self.passed += len(piece)
            await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if len(piece) >= BULK and not chunked:
                await body.pour(wire, self._moved)
        if chunked:
            self.can_restart = False
            await wire.send(render_last_chunk(body.trailers))
        self.whole = True

    def _moved(self, size: int) -> None:
        self.passed += size


def render_last_chunk(trailers: list[bytes]) -> bytes:
    """Write the end of a chunked body."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"0\r\n" + b"\r\n".join(trailers) + b"\r\n\r\n"
