"""What must hold for any bytes: one function a reader, which raises when it does not.

`python -m tests.fuzz` looks for bytes that break them, guided by coverage; `test_corpus.py` repeats what was found, and
what the search begins with, in the ordinary tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise

import h11

from conf import ConfigErrors, load
from namer.dtab import Dtab
from namer.endpointfile import parse_endpoints
from namer.grammar import NameSyntaxError
from namer.path import Path
from nodeagent.http1.body import CHUNKED, ChunkedDecoder, request_framing, response_framing
from nodeagent.http1.head import ResponseHead, parse_request, parse_response
from nodeagent.http1.upgrade import settle_offer
from nodeagent.http1.upstream import render_last_chunk, render_request
from nodeagent.proxy.errors import BadRequest, ResponseInvalid
from nodeagent.proxy.identify import by_host, host_name
from nodeagent.proxy.messages import Request, RequestHead, lines_of
from nodeagent.proxy.wire import Wire

Target = Callable[[bytes], None]


def request_head(data: bytes) -> None:
    """A head is refused as BadRequest, or h11 reads the same out of it."""
    raw = data + b"\r\n\r\n"
    try:
        head = parse_request(raw[: raw.index(b"\r\n\r\n") + 4])
        framing = request_framing(head)
    except BadRequest:
        return
    raw = raw[: raw.index(b"\r\n\r\n") + 4]
    event = _h11_reads(h11.SERVER, raw)
    assert isinstance(event, h11.Request), f"h11 does not read {raw!r}"
    line = raw.split(b"\r\n", 1)[0].split(b" ")
    assert (event.method, event.target, event.http_version) == (head.method, line[1], line[2][5:])
    assert _h11_framing(event.headers.raw_items()) == framing
    _check_name(head)


def response_head(data: bytes) -> None:
    """As `request_head`, for an answer to a GET."""
    raw = data + b"\r\n\r\n"
    raw = raw[: raw.index(b"\r\n\r\n") + 4]
    try:
        head = parse_response(raw)
        framing = response_framing(b"GET", head.status, head.version, head.special)
    except ResponseInvalid:
        return
    _check_lines(head)
    if head.status < 200 or head.status in (204, 304):
        return  # h11 looks at how a body would be framed that is not there (RFC 9112, 6.3)
    event = _h11_reads(h11.CLIENT, raw)
    assert isinstance(event, h11.Response), f"h11 does not read {raw!r}"
    assert event.status_code == head.status
    if framing > 0 or framing == CHUNKED:
        assert _h11_framing(event.headers.raw_items()) == framing


def chunked_body(data: bytes) -> None:
    """A chunked body gives the same however it is cut; what is taken, h11 takes, and reads alike."""
    cut, coded = data[:4], data[4:]
    whole = _decode([coded])
    pieces = [
        coded[start:end] for start, end in pairwise([0, *sorted(at * len(coded) // 255 for at in cut), len(coded)])
    ]
    assert _decode(pieces) == whole, "the cut makes a difference"
    if whole is None or not whole[1]:
        return
    body, _, left = whole
    with suppress(h11.RemoteProtocolError):  # it knows fewer extensions, and has another limit
        assert _h11_body(coded[: len(coded) - len(left)]) == body


def stream(data: bytes) -> None:
    """Whatever a caller sends, each request that is passed on is one request to the next reader, and the same one.

    The requests of one connection, as `Conversation` takes them apart and `Http1Connection` writes them.
    """
    for head, body, trailers in _requests(data):
        request = Request(head, body if trailers is None else _Streamed(), 0.0)
        written = render_request(request)
        if trailers is not None:
            written += (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + render_last_chunk(trailers)
        machine = h11.Connection(h11.SERVER)
        machine.receive_data(written)
        event = machine.next_event()
        assert isinstance(event, h11.Request), written
        assert (event.method, event.target) == (head.method, head.path)
        got = b""
        while not isinstance(end := machine.next_event(), h11.EndOfMessage):
            assert isinstance(end, h11.Data), (written, end)
            got += bytes(end.data)
        assert got == body, written
        assert machine.trailing_data[0] == b"", written


def names(data: bytes) -> None:
    """A path or a table is refused with its place, or written and read again it is the same."""
    text = data.decode("latin-1")
    with suppress(NameSyntaxError):
        path = Path.parse(text)
        assert Path.parse(path.show()) == path
    with suppress(NameSyntaxError):
        dtab = Dtab.parse(text)
        assert Dtab.parse(dtab.show()) == dtab


def endpoint_file(data: bytes) -> None:
    """A file of endpoints never fails as a whole."""
    parse_endpoints(data.decode("utf-8", "replace"), "file")


def configuration(data: bytes) -> None:
    """A configuration is refused with every problem at its place, or taken."""
    with suppress(ConfigErrors):
        load(data.decode("utf-8", "replace"), "file")


TARGETS: dict[str, Target] = {
    "request_head": request_head,
    "response_head": response_head,
    "chunked_body": chunked_body,
    "stream": stream,
    "names": names,
    "endpoint_file": endpoint_file,
    "configuration": configuration,
}


class _Streamed:
    """Stands for a body that streams."""

    def __init__(self) -> None:
        self.length: int | None = None
        self.trailers: list[bytes] = []

    async def read(self) -> bytes:
        return b""

    async def pour(self, sink: Wire, moved: Callable[[int], None]) -> None: ...

    def close(self) -> None: ...


def _h11_reads(role: type[h11.SERVER] | type[h11.CLIENT], raw: bytes) -> object:
    machine = h11.Connection(role, max_incomplete_event_size=len(raw) + 1)
    if role is h11.CLIENT:
        machine.send(h11.Request(method=b"GET", target=b"/", headers=[(b"host", b"x"), (b"upgrade", b"x")]))
        machine.send(h11.EndOfMessage())
    machine.receive_data(raw)
    return machine.next_event()


def _h11_framing(items: list[tuple[bytes, bytes]]) -> int:
    fields = {name.lower(): value for name, value in items}
    if b"transfer-encoding" in fields:
        return CHUNKED
    return int(fields.get(b"content-length", b"0"))


def _check_name(head: RequestHead) -> None:
    """The name of a request is a label of its own, whatever Host says (RFC 9110, 4.2.3)."""
    if not head.authority:
        return
    (label,) = by_host()(head).labels
    assert label == host_name(head.authority)
    assert not set(label) & set("/#$|&*!~\\ \r\n\0"), label


def _check_lines(head: ResponseHead) -> None:
    for line in lines_of(head.fields):
        name, colon, _ = line.partition(b":")
        assert colon, line
        assert name, line
        assert not set(line) & {0, 10, 13}, line


def _decode(pieces: list[bytes]) -> tuple[bytes, bool, bytes] | None:
    """Body, whether it is whole, and what is left; None when it is refused."""
    decoder = ChunkedDecoder(BadRequest)
    body, left = b"", b""
    for piece in pieces:
        if decoder.done:
            left += piece
            continue
        try:
            body += decoder.feed(piece)
        except BadRequest:
            return None
    return body, decoder.done, (decoder.leftover() + left if decoder.done else b"")


def _h11_body(coded: bytes) -> bytes:
    machine = h11.Connection(h11.SERVER, max_incomplete_event_size=len(coded) + 1)
    machine.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + coded)
    assert isinstance(machine.next_event(), h11.Request)
    body = b""
    while not isinstance(event := machine.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data), event
        body += bytes(event.data)
    return body


def _requests(data: bytes) -> Iterator[tuple[RequestHead, bytes, list[bytes] | None]]:
    """The requests that are taken from a connection, up to the first that is refused or not whole."""
    while (end := data.find(b"\r\n\r\n")) >= 0:
        raw, data = data[: end + 4], data[end + 4 :]
        try:
            head = parse_request(raw)
            framing = request_framing(head)
            if b"upgrade" in head.special:
                settle_offer(head, whole=0 <= framing <= len(data))
            if head.method == b"CONNECT":
                return
            if framing != CHUNKED:
                if len(data) < framing:
                    return
                body, data = data[:framing], data[framing:]
                yield head, body, None
                continue
            decoder = ChunkedDecoder(BadRequest)
            body = decoder.feed(data)
        except BadRequest:
            return
        if not decoder.done:
            return
        data = decoder.leftover()
        yield head, body, decoder.trailers
