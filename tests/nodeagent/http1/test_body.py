"""Framing and bodies: where a message ends, whatever way its bytes are cut."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.http1.body import (
    CHUNKED,
    UNTIL_CLOSE,
    ChunkedDecoder,
    Source,
    StreamBody,
    request_framing,
    response_framing,
)
from nodeagent.proxy.errors import BadRequest, ProxyError, ResponseIncomplete, ResponseInvalid
from nodeagent.proxy.messages import RequestHead

NOTHING: dict[bytes, bytes] = {}


def head(version: int = 11, **special: str) -> RequestHead:
    fields = {name.replace("_", "-").encode(): value.encode() for name, value in special.items()}
    return RequestHead(b"POST", b"a", b"/", version, b"", fields)


@pytest.mark.parametrize(
    ("given_head", "framing"),
    [
        pytest.param(head(), 0, id="no body"),
        pytest.param(head(content_length="0"), 0, id="an empty body"),
        pytest.param(head(content_length="17"), 17, id="a length"),
        pytest.param(head(transfer_encoding="chunked"), CHUNKED, id="chunked"),
        pytest.param(head(transfer_encoding="Chunked"), CHUNKED, id="codings are compared without case"),
    ],
)
def test_request_framing(given_head: RequestHead, framing: int) -> None:
    assert request_framing(given_head) == framing


@pytest.mark.parametrize("length", ["", "+5", "-1", "0x5", "1_0", "5, 5", "5,6", "٣", str(2**64), " "])
def test_lengths_that_are_no_plain_number(length: str) -> None:
    with pytest.raises(BadRequest):
        request_framing(head(content_length=length))
    with pytest.raises(ResponseInvalid):
        response_framing(b"GET", 200, 11, {b"content-length": length.encode()})


@pytest.mark.parametrize("coding", ["xchunked", "chunked, identity", "chunked;q=1", "chunked, chunked", "identity", ""])
def test_codings_that_are_not_chunked(coding: str) -> None:
    with pytest.raises(BadRequest) as caught:
        request_framing(head(transfer_encoding=coding))
    assert caught.value.status == 501
    with pytest.raises(ResponseInvalid):
        response_framing(b"GET", 200, 11, {b"transfer-encoding": coding.encode()})


def test_two_framings_at_once_are_refused() -> None:
    with pytest.raises(BadRequest):
        request_framing(head(content_length="5", transfer_encoding="chunked"))
    with pytest.raises(ResponseInvalid):
        response_framing(b"GET", 200, 11, {b"content-length": b"5", b"transfer-encoding": b"chunked"})


def test_chunked_is_not_for_http10() -> None:
    with pytest.raises(BadRequest):
        request_framing(head(10, transfer_encoding="chunked"))


@pytest.mark.parametrize(
    ("method", "status", "special", "framing"),
    [
        pytest.param(b"GET", 200, NOTHING, UNTIL_CLOSE, id="only the end tells"),
        pytest.param(b"GET", 200, {b"content-length": b"3"}, 3, id="a length"),
        pytest.param(b"GET", 200, {b"transfer-encoding": b"chunked"}, CHUNKED, id="chunked"),
        pytest.param(b"HEAD", 200, {b"content-length": b"3"}, 0, id="HEAD has none"),
        pytest.param(b"GET", 304, {b"content-length": b"3"}, 0, id="304 has none"),
        pytest.param(b"GET", 204, {b"transfer-encoding": b"chunked"}, 0, id="204 has none"),
        pytest.param(b"GET", 103, NOTHING, 0, id="1xx has none"),
    ],
)
def test_response_framing(method: bytes, status: int, special: dict[bytes, bytes], framing: int) -> None:
    assert response_framing(method, status, 11, special) == framing


@pytest.mark.parametrize(
    ("coded", "body", "trailers"),
    [
        pytest.param(b"0\r\n\r\n", b"", [], id="empty"),
        pytest.param(b"3\r\nabc\r\n0\r\n\r\n", b"abc", [], id="one chunk"),
        pytest.param(b'A\r\n0123456789\r\n1;x="y"\r\nz\r\n00\r\n\r\n', b"0123456789z", [], id="extensions, hex, zeros"),
        pytest.param(b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n", b"a", [b"X-Sum: 1"], id="a trailer"),
        pytest.param(b"0\r\nContent-Length: 9\r\nHost: b\r\n\r\n", b"", [], id="trailers that would steer are dropped"),
        pytest.param(b"0\r\nL5d-Dtab: /a => /b\r\nl5d-x: 1\r\n\r\n", b"", [], id="and so are the mesh's own"),
    ],
)
def test_chunks(coded: bytes, body: bytes, trailers: list[bytes]) -> None:
    decoder = ChunkedDecoder(BadRequest)

    assert decoder.feed(coded + b"NEXT") == body
    assert (decoder.done, decoder.trailers, decoder.leftover()) == (True, trailers, b"NEXT")


@pytest.mark.parametrize(
    "coded",
    [
        pytest.param(b"0x10\r\n", id="0x10"),
        pytest.param(b"+A\r\n", id="+A"),
        pytest.param(b"A_0\r\n", id="A_0"),
        pytest.param(b"1234567890abcdef0\r\n", id="too many digits"),
        pytest.param(b"\r\n", id="no size"),
        pytest.param(b" 3\r\nabc\r\n", id="white space before the size"),
        pytest.param(b"3\nabc\r\n", id="bare LF"),
        pytest.param(b"3\rabc", id="bare CR, seen at once"),
        pytest.param(b"3\r\nabcd\r\n", id="more data than announced"),
        pytest.param(b"3\r\nabc\n0\r\n\r\n", id="data not followed by CRLF"),
        pytest.param(b"3;" + b"x" * 5000, id="an extension without end"),
        pytest.param(b"0\r\n" + b"X: " + b"y" * 9000 + b"\r\n\r\n", id="trailers without end"),
        pytest.param(b"0\r\nX : y\r\n\r\n", id="a broken trailer"),
        pytest.param(b"1\r\na\r\n" * 30_000, id="chunks of one byte, thousands of them"),
    ],
)
def test_bad_chunks(coded: bytes) -> None:
    def decode() -> None:
        decoder = ChunkedDecoder(BadRequest)
        for at in range(0, len(coded), 4096):
            decoder.feed(coded[at : at + 4096])

    with pytest.raises(BadRequest):
        decode()


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_any_cut_gives_the_same_body(chunks: list[bytes], cuts: list[int]) -> None:
    coded = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\nT: v\r\n\r\n" + b"rest"
    edges = [0, *sorted(min(cut, len(coded)) for cut in cuts), len(coded)]
    decoder = ChunkedDecoder(BadRequest)
    body, fed = b"", b""

    for start, end in pairwise(edges):
        if decoder.done:
            fed += coded[start:end]
        else:
            body += decoder.feed(coded[start:end])

    assert body == b"".join(chunks)
    assert (decoder.done, decoder.trailers, decoder.leftover() + fed) == (True, [b"T: v"], b"rest")


@given(st.binary(max_size=100))
def test_garbage_only_ever_raises_its_error(data: bytes) -> None:
    decoder = ChunkedDecoder(BadRequest)
    with suppress(BadRequest):
        decoder.feed(data)


class Pieces(Source):
    """A source that gives what it was made with, then the end."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    async def read(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def unread(self, data: bytes) -> None:
        if data:
            self.pieces.insert(0, data)


async def read_all(body: StreamBody) -> bytes:
    out = b""
    while piece := await body.read():
        out += piece
    return out


@pytest.mark.parametrize(
    ("framing", "pieces", "body", "left"),
    [
        pytest.param(5, [b"ab", b"cdeNEXT"], b"abcde", [b"NEXT"], id="a length"),
        pytest.param(CHUNKED, [b"2\r\nab", b"\r\n0\r\n\r\nNEXT"], b"ab", [b"NEXT"], id="chunked"),
        pytest.param(UNTIL_CLOSE, [b"ab", b"cd"], b"abcd", [], id="until the end"),
    ],
)
async def test_a_body_ends_where_its_framing_says(
    framing: int, pieces: list[bytes], body: bytes, left: list[bytes]
) -> None:
    source = Pieces(*pieces)
    ends: list[bool] = []
    stream = StreamBody(source, framing, ResponseIncomplete, ends.append)

    assert await read_all(stream) == body
    assert (source.pieces, ends, stream.whole) == (left, [True], True)


@pytest.mark.parametrize("framing", [5, CHUNKED])
async def test_a_body_that_breaks_off_is_an_error(framing: int) -> None:
    ends: list[bool] = []
    stream = StreamBody(Pieces(b"2\r\n"), framing, ResponseIncomplete, ends.append)

    with pytest.raises(ProxyError):
        await read_all(stream)

    assert ends == [False]


async def test_closing_is_told_once() -> None:
    ends: list[bool] = []
    stream = StreamBody(Pieces(b"ab"), 5, ResponseIncomplete, ends.append)

    stream.close()
    stream.close()

    assert (ends, await stream.read()) == ([False], b"")
