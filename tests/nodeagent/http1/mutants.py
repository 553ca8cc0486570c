"""Messages that are nearly right: grammar first, then a few bytes changed, as strategies for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

NAMES = st.sampled_from([
    b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Expect", b"Via", b"Content_Length", b"X-A",
    b"x_b",
    b"Cookie", b"Authorization", b"Upgrade", b"TE", b"l5d-dtab", b"Keep-Alive", b"Max-Forwards",
])  # fmt: skip
VALUES = st.sampled_from([
    b"a", b"", b"0", b"5", b"05", b"5, 5", b"chunked", b"Chunked", b"gzip, chunked", b"close", b"keep-alive, x-a",
    b"x-b",
    b"100-continue", b"a\tb", b" a ", b"\xff", b"a:80", b"users", b"1.1 x",
])  # fmt: skip
PIECES = st.sampled_from([
    b" ", b"\t", b"\r", b"\n", b"\r\n", b"\0", b":", b",", b";", b"_", b"-", b"\x0b", b"\xa0", b"0", b"5", b"+", b'"',
    b"\\", b"#",
    b"\r\n\r\n", b"Host: b\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b" HTTP/1.1", b"f",
    b"x", b"%00",
])  # fmt: skip


@st.composite
def mutants(draw: st.DrawFn, valid: st.SearchStrategy[bytes]) -> bytes:
    """A valid message in which up to three places were overwritten, cut out, doubled or filled in."""
    data = draw(valid)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(start + draw(st.integers(0, 4)), len(data))
        put = draw(PIECES | st.just(data[start:end] * 2) | st.just(b""))
        data = data[:start] + put + data[end:]
    return data


@st.composite
def _heads(draw: st.DrawFn, first_line: st.SearchStrategy[bytes], usual: bytes) -> bytes:
    fields = draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))
    lines = [draw(first_line), *([usual] if draw(st.booleans()) else []), *(n + b": " + v for n, v in fields)]
    return b"".join(line + b"\r\n" for line in [*lines, b""])


METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"M-SEARCH", b"get"])
SITES = st.sampled_from(
    [b"/", b"/a?b=%20", b"*", b"http://a/x", b"http://a", b"HTTP://a:1?x", b"a:80", b"//a", b"/a#b"]
)
VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0"])
REQUEST_LINES = st.tuples(METHODS, SITES, VERSIONS).map(b" ".join)
STATUS_LINES = st.tuples(
    VERSIONS,
    st.sampled_from([b"200", b"100", b"101", b"103", b"204", b"304", b"404", b"599", b"600", b"99"]),
    st.sampled_from([b"OK", b"", b"Not  Found", b"\xff"]),
).map(b" ".join)

requests = mutants(_heads(REQUEST_LINES, b"Host: a"))
responses = mutants(_heads(STATUS_LINES, b"Content-Length: 5"))


@st.composite
def _chunked(draw: st.DrawFn) -> bytes:
    sizes = st.sampled_from([b"%x", b"%X", b"0%x", b"%x;a=b", b'%x;q="\t;"', b"%x "])
    chunks = draw(st.lists(st.tuples(st.binary(min_size=1, max_size=20), sizes), max_size=4))
    last = draw(st.sampled_from([b"0", b"000", b"0;x"]))
    trailers = draw(st.lists(st.sampled_from([b"X: y", b"Content-Length: 5", b"a_b:"]), max_size=2))
    coded = b"".join(size % len(data) + b"\r\n" + data + b"\r\n" for data, size in chunks)
    return coded + b"".join(line + b"\r\n" for line in [last, *trailers, b""])


chunked = mutants(_chunked())
