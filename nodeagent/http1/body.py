"""Where a message ends: framing rules (RFC 9112, 6 and 7) and the bodies that are read by them.

`request_framing` and `response_framing` decide, purely, from the head alone. A message whose framing two readers could
see differently is refused, never repaired: Content-Length beside Transfer-Encoding, a list of lengths, any coding but
one "chunked".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

import trio

from nodeagent.proxy.errors import BadRequest, ProxyError, ResponseInvalid
from nodeagent.proxy.messages import RequestHead
from nodeagent.proxy.splice import BULK, SourceBroken, burst, can_splice
from nodeagent.proxy.wire import CLOSED, Wire

CHUNKED = -1
UNTIL_CLOSE = -2
"""Framings that are no length. A framing is an int: a length in bytes, or one of these."""

MAX_LENGTH_DIGITS = 18
"""Of a Content-Length: what fits 63 bits."""

MAX_CHUNK_LINE = 4096
"""Bytes of one chunk-size line with its extensions (RFC 9112, 7.1.1 asks for a limit)."""

MAX_TRAILERS = 8192
"""Bytes of a trailer section."""

CHUNK_OVERHEAD = 64 * 1024
"""Bytes of chunk lines beyond 2 for each byte of data that one body may have: against a million tiny chunks."""

FORBIDDEN_TRAILERS = frozenset(
    b"content-length transfer-encoding host authorization proxy-authorization cookie set-cookie content-encoding"
    b" content-type content-range trailer te connection cache-control expect max-forwards range www-authenticate"
    b" via upgrade keep-alive age date location x-forwarded-client-cert".split()
)
"""Fields that frame, route or authorise mean nothing at the end of a message (RFC 9110, 6.5.1): dropped. So is `l5d-*`,
which steers, and would reach the next agent unasked."""

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t -~]*)?\Z")
_BARE_LINE_END = re.compile(rb"\n|\r(?!\Z)")  # where no CRLF is
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t -~]*\Z")


def request_framing(head: RequestHead) -> int:
    """Return how the request's body is framed. Raises BadRequest (the connection must close then)."""
    special = head.special
    length = special.get(b"content-length")
    coding = special.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise BadRequest("the request has both Content-Length and Transfer-Encoding")
        if head.version == 10:
            raise BadRequest("Transfer-Encoding in an HTTP/1.0 request")
        if coding.lower() != b"chunked":
            raise BadRequest(f"Transfer-Encoding {coding[:40].decode('latin-1')!r} is not known", status=501)
        return CHUNKED
    if length is None:
        return 0
    if not _is_length(length):
        raise BadRequest(f"Content-Length {length[:40].decode('latin-1')!r} is not one number")
    return int(length)


def response_framing(method: bytes, status: int, version: int, special: Mapping[bytes, bytes]) -> int:
    """Return how the response's body is framed (RFC 9112, 6.3). Raises ResponseInvalid."""
    if status < 200 or status in (204, 304) or method == b"HEAD":
        return 0
    length = special.get(b"content-length")
    coding = special.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise ResponseInvalid("the response has both Content-Length and Transfer-Encoding")
        if version == 10 or coding.lower() != b"chunked":
            raise ResponseInvalid(f"Transfer-Encoding {coding[:40].decode('latin-1')!r} in the response is not known")
        return CHUNKED
    if length is None:
        return UNTIL_CLOSE
    if not _is_length(length):
        raise ResponseInvalid(f"Content-Length {length[:40].decode('latin-1')!r} of the response is not one number")
    return int(length)


def _is_length(value: bytes) -> bool:
    return value.isdigit() and len(value) <= MAX_LENGTH_DIGITS


class ChunkedDecoder:
    """Takes the chunked coding apart (RFC 9112, 7.1). Sans-IO: `feed` bytes, get data; strict about every CRLF.

    SIZE --line--> DATA --all of it--> CRLF --> SIZE      SIZE --"0"--> TRAILERS --empty line--> done
    """

    __slots__ = ("_buffer", "_make_error", "_missing", "_overhead", "_trailer_bytes", "done", "trailers")

    def __init__(self, make_error: Callable[[str], ProxyError]) -> None:
        self._make_error = make_error
        self._buffer = b""
        self._missing = 0  # bytes of the current chunk still to come, its CRLF included; 0 = a size line is next
        self._overhead = 0
        self._trailer_bytes = -1  # -1 = not in the trailers
        self.trailers: list[bytes] = []
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """Return the body bytes that `data` completes. After `done`, `leftover()` is what follows the message.

        Raises what `make_error` makes, for anything that is not exactly the coding.
        """
        buffer = self._buffer + data if self._buffer else data
        pieces: list[bytes] = []
        at = 0
        while not self.done:
            if self._missing:
                taken = self._take_data(buffer, at, pieces)
            else:
                taken = self._take_line(buffer, at)
            if taken < 0:
                break
            at = taken
        self._buffer = buffer[at:]
        body = b"".join(pieces)
        self._overhead -= 2 * len(body)
        if self._overhead > CHUNK_OVERHEAD:
            raise self._make_error("the chunks are too small for what they carry")
        self._overhead = max(self._overhead, 0)
        return body

    def leftover(self) -> bytes:
        """Return the bytes behind the end of the body."""
        return self._buffer

    def _take_data(self, buffer: bytes, at: int, pieces: list[bytes]) -> int:
        here = len(buffer) - at
        if not here:
            return -1
        data = min(self._missing - 2, here)
        if data > 0:
            pieces.append(buffer[at : at + data])
            self._missing -= data
            return at + data
        if here < 2:
            if buffer[at:] != b"\r":
                raise self._make_error("a chunk is not followed by CRLF")
            return -1
        if buffer[at : at + 2] != b"\r\n":
            raise self._make_error("a chunk is not followed by CRLF")
        self._missing = 0
        return at + 2

    def _take_line(self, buffer: bytes, at: int) -> int:
        end = buffer.find(b"\r\n", at)
        if end < 0:
            if len(buffer) - at > MAX_CHUNK_LINE:
                raise self._make_error("a chunk line is too long")
            if _BARE_LINE_END.search(buffer, at):
                raise self._make_error("a chunk line ends without CRLF")
            return -1
        line = buffer[at:end]
        if self._trailer_bytes < 0:
            self._size_line(line)
        else:
            self._trailer_line(line)
        return end + 2

    def _size_line(self, line: bytes) -> None:
        match = _CHUNK_LINE.match(line)
        if match is None or len(line) > MAX_CHUNK_LINE:
            raise self._make_error("a chunk size is not a plain hexadecimal number")
        self._overhead += len(line) + 4
        size = int(match[1], 16)
        if size:
            self._missing = size + 2
        else:
            self._trailer_bytes = 0

    def _trailer_line(self, line: bytes) -> None:
        if not line:
            self.done = True
            return
        self._trailer_bytes += len(line) + 2
        match = _FIELD.match(line)
        if match is None or self._trailer_bytes > MAX_TRAILERS:
            raise self._make_error("the trailer section is not valid, or too long")
        name = match[1].lower().replace(b"_", b"-")  # "Content_Length" is the same to CGI and WSGI programs
        if name not in FORBIDDEN_TRAILERS and not name.startswith(b"l5d-"):
            self.trailers.append(line)


class Source(Protocol):
    """Where a body's bytes come from: the connection that it arrives on."""

    async def read(self) -> bytes:
        """Return some bytes, b"" at the end of the connection."""
        ...

    def unread(self, data: bytes) -> None:
        """Put back what belongs to the next message."""
        ...

    @property
    def wire(self) -> Wire | None:
        """The connection itself; None where there is none."""
        return None

    def progress(self) -> None:
        """Hear that something was read past `read`."""
        return


Ended = Callable[[bool], None]
"""Called once when a body is over: with True when all of it was read, False when it was given up or broke."""


def both(ended: Ended | None, over: Callable[[], None]) -> Ended:
    """Return what tells `ended` that a body is over, and then `over`."""
    assert ended is not None, "the body is over already"

    def tell(whole: bool) -> None:
        ended(whole)
        over()

    return tell


class StreamBody:
    """A body read from `source` as it comes, by one of the framings."""

    __slots__ = ("_decoder", "_ended", "_make_error", "_missing", "_source", "length", "received", "trailers", "whole")

    def __init__(self, source: Source, framing: int, make_error: Callable[[str], ProxyError], ended: Ended) -> None:
        self._source = source
        self._make_error = make_error
        self._ended: Ended | None = ended
        self.whole = False
        """True once all of it was read: what follows on the connection is another message."""
        self.received = 0
        """Bytes that came, without those of the framing."""
        self._missing = framing
        self.length = framing if framing >= 0 else None
        self._decoder = ChunkedDecoder(make_error) if framing == CHUNKED else None
        self.trailers: list[bytes] = self._decoder.trailers if self._decoder is not None else []

    async def read(self) -> bytes:
        """Return the next piece; b"" at the end, and ever after. Cancelling is safe: nothing is lost.

        Raises what `make_error` makes when the sender breaks off or breaks the framing; the body is over then.
        """
        while self._ended is not None:
            try:
                piece = self._take(await self._source.read())
            except ProxyError:
                self._end(False)
                raise
            except CLOSED:
                self._end(False)
                raise self._make_error("the connection broke inside the body") from None
            if piece:
                self.received += len(piece)
                return piece
        return b""

    async def pour(self, sink: Wire, moved: Callable[[int], None]) -> None:
        """As `Body.pour`; chunks are not passed on as they are."""
        source, wire = self._source, self._source.wire
        if wire is None or self._decoder is not None:
            return

        def passed(size: int) -> None:
            source.progress()
            self.received += size
            moved(size)

        while self._ended is not None and can_splice(wire, sink):
            try:
                await wire.wait_readable()
                most = None if self._missing == UNTIL_CLOSE else self._missing
                size = await burst(wire, sink, most, passed)
            except (SourceBroken, trio.ClosedResourceError):
                self._end(False)
                raise self._make_error("the connection broke inside the body") from None
            if self._missing != UNTIL_CLOSE:
                self._missing -= size
                if not self._missing:
                    self._end(True)
            if size < BULK:
                break

    def close(self) -> None:
        self._end(False)

    def then(self, over: Callable[[], None]) -> None:
        """As `ResponseBody.then`."""
        self._ended = both(self._ended, over)

    def _take(self, data: bytes) -> bytes:
        if self._decoder is not None:
            return self._take_chunks(self._decoder, data)
        if self._missing == UNTIL_CLOSE:
            if not data:
                self._end(True)
            return data
        if not data:
            raise self._make_error(f"the connection closed with {self._missing} bytes of body missing")
        if len(data) > self._missing:
            self._source.unread(data[self._missing :])
            data = data[: self._missing]
        self._missing -= len(data)
        if not self._missing:
            self._end(True)
        return data

    def _take_chunks(self, decoder: ChunkedDecoder, data: bytes) -> bytes:
        if not data:
            raise self._make_error("the connection closed inside a chunked body")
        piece = decoder.feed(data)
        if decoder.done:
            self._source.unread(decoder.leftover())
            self._end(True)
        return piece

    def _end(self, whole: bool) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            self.whole = whole
            ended(whole)
