"""Where a request ends: lengths, codings, chunks. Requests are smuggled by what two readers see differently."""

from __future__ import annotations

from tests.conformance.rules import CHUNKED, HOST, Arrives, Refused, chunks, get, message, post

LENGTH = b"Content-Length: 5"
PREFIX = b"0\r\n\r\n"  # ends a chunked body; what follows would be the next request

HELLO = b"5\r\nhello\r\n0\r\n"

LENGTHS = (
    b"", b" ", b"+5", b"-5", b"-0", b"0x5", b"5h", b"1_0", b"5 5", b"5;5", b"5.0", b"5e0", b"5,", b",5", b"5\t5",
    b"\"5\"",
    b"five", b"\xd9\xa5", b"\xef\xbc\x95", b"\xb2", b"18446744073709551616", b"9999999999999999999", b"0" * 19 + b"5",
    b"NaN", b"infinity", b"~5", b"5#", b"5%0d", b"5\xa0",
)  # fmt: skip
CODINGS = (
    b"", b"xchunked", b"chunke", b"chunked2", b"chunked, identity", b"identity, chunked", b"chunked;q=1", b"chunked ;x",
    b"chunked, chunked", b"chunked,", b",chunked", b"chunked,,", b"gzip, chunked", b"chunked, gzip", b"gzip",
    b"identity",
    b"cow", b"'chunked'", b'"chunked"', b"chunked chunked", b"chunked\tx", b"x chunked", b"chunked/1", b"%63hunked",
    b"Chunked, Chunked", b"chunk-ed", b"chun ked", b"(chunked)", b"trailers", b"deflate,\tchunked",
)  # fmt: skip
DIRTY_CODINGS = (
    b"\x0bchunked", b"chunked\x0b", b"chunked\x0c", b"\x0cchunked", b"chunked\xa0", b"\xa0chunked", b"chunked\x00",
    b"\x00chunked", b"chunked\x01", b"chunked\x7f", b"\x85chunked", b"chun\x00ked", b"chunked\x1f",
    b"\xef\xbb\xbfchunked",
    b"chunked\x08", b"\xffchunked", b"ch\xc3\xbcnked",
)  # fmt: skip
DIRTY_NAMES = (
    b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b"Transfer-Encoding\x0b: chunked",
    b"Transfer-Encoding\x00: chunked", b"Transfer-Encoding\xa0: chunked", b"Transfer Encoding: chunked",
    b"\x00Transfer-Encoding: chunked", b"Transfer-\xc3\x8ancoding: chunked", b"Transfer-Encoding;: chunked",
    b"(Transfer-Encoding): chunked", b"Content-Length : 5", b"Content-Length\t: 5", b"Content-Length\x0c: 5",
    b"Content-Length\x00: 5", b"Content Length: 5", b"Content-Length@: 5", b"\x7fContent-Length: 5",
    b"Content-Length=: 5",
    b"Transfer-Encoding", b"Content-Length", b"Transfer-Encoding chunked", b"Content-Length 5",
)  # fmt: skip
FOLDED = (
    b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding: chunked\r\n ", b"Transfer-Encoding:\r\n\tchunked",
    b"X: y\r\n Transfer-Encoding: chunked", b"X: y\r\n\tTransfer-Encoding: chunked", b"Content-Length: 5\r\n 0",
    b"Content-Length:\r\n 5", b"X: y\r\n Content-Length: 50", b"Transfer-Encoding: chunked\r\n , identity",
)  # fmt: skip
BARE = (
    b"X: y\nTransfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked", b"X: y\r\rTransfer-Encoding: chunked",
    b"X: y\n\rTransfer-Encoding: chunked", b"X: y\nContent-Length: 5", b"X: y\rContent-Length: 5",
    b"Transfer-Encoding: chunked\nX: y", b"Transfer-Encoding: chunked\rX: y", b"Transfer-Encoding:\nchunked",
    b"Transfer-Encoding:\rchunked", b"X: y\n\nGET /smuggled HTTP/1.1", b"\nTransfer-Encoding: chunked",
    b"X:\nTransfer-Encoding: chunked", b"Content-Length: 5\n", b"Content-Length: 5\r", b"Content-Length:\n5",
)  # fmt: skip

SIZES = (
    b"0x5", b"+5", b"-5", b"5_0", b" 5", b"\t5", b"5 5", b"g", b"5g", b"5.", b"", b";", b";a=b", b"5\x00", b"\x005",
    b"5\x0b", b"5\xa0", b"\xef\xbc\x95", b"f" * 16, b"0" * 16, b"f" * 20, b"ffffffffffffffff5", b"0x", b"5h", b'"5"',
    b"5,5", b"-0", b"5=", b"5:x", b"5\r", b"5;a\rb", b"5;a\x00b", b"5;\x7f", b"5;a=\"\x01\"", b"5;\xff",
)  # fmt: skip
BAD_CHUNKS = (
    b"5\r\nhelloXX0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello\r0\r\n\r\n",
    b"5\r\nhello\n\r0\r\n\r\n", b"4\r\nhello\r\n0\r\n\r\n", b"6\r\nhello\r\n0\r\n\r\n", b"5\r\nhello  0\r\n\r\n",
    b"5\r\nhello\r\r\n0\r\n\r\n", b"5\r\nhello\r\n\r\n0\r\n\r\n",
)  # fmt: skip
LINE_ENDS = (
    b"5\nhello\r\n0\r\n\r\n", b"5\rhello\r\n0\r\n\r\n", b"5;x\nhello\r\n0\r\n\r\n", b"5;x\ry\r\nhello\r\n0\r\n\r\n",
    b"5\n\rhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\n\n", b"5\r\nhello\r\n0\n\r\n", b"5\r\nhello\r\n0\r\nX: y\n\r\n",
    b"5\r\nhello\r\n0\r\nX: y\rZ: q\r\n\r\n", b"5\r\nhello\r\n0\r\n\n\r\n", b"2;\nxx\r\n10\r\n\r\n0\r\n\r\n",
)  # fmt: skip
TRAILERS = (
    b"X : y", b": y", b"X", b" X: y", b"X: y\r\n z", b"X: \x00", b"X: a\x7f", b"X\x0b: y", b"X: " + b"y" * 10_000,
    b"\r\n".join([b"X: y"] * 3000), b"GET /smuggled HTTP/1.1",
)  # fmt: skip

FRAMING: tuple[Refused | Arrives, ...] = (
    Refused(
        "S01-length-and-coding", "RFC 9112, 6.1 and 6.3",
        "Content-Length and Transfer-Encoding in one request (CL.TE, TE.CL)",
        400,
        (
            post(LENGTH, CHUNKED, body=PREFIX), post(CHUNKED, LENGTH, body=PREFIX), post(b"Content-Length: 0", CHUNKED),
            post(CHUNKED, b"Content-Length: 0"), post(LENGTH, b"Transfer-Encoding: identity"),
            post(LENGTH, b"Transfer-Encoding: xchunked"), post(LENGTH, b"Transfer-Encoding:"),
            post(LENGTH, CHUNKED, LENGTH),
            post(b"X: \xff", LENGTH, CHUNKED), post(b"content-length: 5", b"transfer-encoding: chunked"),
            post(b"CONTENT-LENGTH: 5", b"tRANSFER-eNCODING: CHUNKED"), get(HOST, LENGTH, CHUNKED),
            post(LENGTH, b"Connection: content-length", CHUNKED),
            post(LENGTH, b"Connection: transfer-encoding", CHUNKED),
            post(b"Content-Length:", CHUNKED, body=PREFIX), post(b"Content-Length: x", CHUNKED, body=PREFIX),
            message(b"HEAD / HTTP/1.1", HOST, LENGTH, CHUNKED, body=PREFIX),
            message(b"OPTIONS / HTTP/1.1", HOST, CHUNKED, LENGTH, body=PREFIX),
        ),
    ),
    Refused(
        "S02-two-lengths", "RFC 9112, 6.3", "two Content-Length fields, also of one value", 400,
        (
            post(LENGTH, b"Content-Length: 6"), post(LENGTH, LENGTH), post(b"Content-Length: 0", LENGTH),
            post(LENGTH, b"Content-Length: 0"), post(LENGTH, b"content-length: 05"), post(LENGTH, b"X: y", LENGTH),
            post(b"X: \xff", LENGTH, b"Content-Length: 6"), post(b"X: \xff", LENGTH, LENGTH),
            post(LENGTH, b"Content-Length:"), post(b"Content-Length:", LENGTH),
            get(HOST, LENGTH, b"Content-Length: 50"),
        ),
    ),
    Refused(
        "S03-list-of-lengths", "RFC 9110, 8.6", "a list of lengths in one field", 400,
        (
            post(b"Content-Length: 5, 5"), post(b"Content-Length: 5,5"), post(b"Content-Length: 5, 6"),
            post(b"Content-Length: 0, 5"), post(b"X: \xff", b"Content-Length: 5, 5"), post(b"Content-Length: 5,\t5"),
        ),
    ),
    Refused(
        "S04-length-grammar", "RFC 9110, 8.6", "a length that is not 1 to 18 ASCII digits", 400,
        [post(b"Content-Length: " + value) for value in LENGTHS],
    ),
    Refused(
        "S05-coding", "RFC 9112, 6.1 and 7", "a Transfer-Encoding that is not just `chunked`", 501,
        [post(b"Transfer-Encoding: " + value, body=PREFIX) for value in CODINGS],
    ),
    Refused(
        "S05-coding-twice", "RFC 9112, 6.1", "two Transfer-Encoding fields", 501,
        (
            post(CHUNKED, CHUNKED, body=PREFIX), post(CHUNKED, b"Transfer-Encoding: identity", body=PREFIX),
            post(b"Transfer-Encoding: identity", CHUNKED, body=PREFIX),
            post(CHUNKED, b"transfer-encoding: x", body=PREFIX),
            post(b"Transfer-Encoding:", CHUNKED, body=PREFIX), post(CHUNKED, b"X: y", CHUNKED, body=PREFIX),
            get(HOST, CHUNKED, CHUNKED),
        ),
    ),
    Refused(
        "S06-coding-with-bytes-that-hide-it", "RFC 9110, 5.5; RFC 9112, 6.1",
        "controls, obs-text and other spaces in a Transfer-Encoding", 400,
        [post(b"Transfer-Encoding: " + value, body=PREFIX) for value in DIRTY_CODINGS],
    ),
    Refused(
        "S06-framing-names-that-hide", "RFC 9112, 5.1",
        "white space, controls and other bytes in a framing field's name",
        400,
        [post(line, body=PREFIX) for line in DIRTY_NAMES],
    ),
    Refused(
        "S06-framing-folded", "RFC 9112, 5.2", "framing fields behind obsolete folding", 400,
        [post(line, body=PREFIX) for line in FOLDED],
    ),
    Refused(
        "S11-framing-behind-bare-line-ends", "RFC 9112, 2.2", "framing fields around a bare CR or LF", 400,
        [post(line, body=PREFIX) for line in BARE],
    ),
    Refused(
        "S07-coding-in-http10", "RFC 9112, 6.1", "Transfer-Encoding in HTTP/1.0", 400,
        (
            message(b"POST / HTTP/1.0", HOST, CHUNKED, body=PREFIX),
            message(b"POST / HTTP/1.0", HOST, b"Connection: keep-alive", CHUNKED, body=PREFIX),
            message(b"GET / HTTP/1.0", HOST, b"Transfer-Encoding: identity"),
            message(b"POST / HTTP/1.0", HOST, CHUNKED, LENGTH, body=PREFIX),
        ),
    ),
    Refused(
        "S09-chunk-size", "RFC 9112, 7.1",
        "a chunk size that is not 1 to 15 hexadecimal digits, or a hidden byte behind it",
        400,
        [chunks(size + b"\r\nhello\r\n0\r\n\r\n") for size in SIZES],
    ),
    Refused(
        "S10-chunk-without-its-end", "RFC 9112, 7.1", "chunk data that CRLF does not follow", 400,
        [chunks(coded) for coded in BAD_CHUNKS],
    ),
    Refused(
        "S11-chunks-with-bare-line-ends", "RFC 9112, 2.2 and 7.1",
        "a bare CR or LF in a chunk line, its extension, a trailer",
        400,
        [chunks(coded) for coded in LINE_ENDS],
    ),
    Refused(
        "S12-chunk-extension-without-end", "RFC 9112, 7.1.1", "a chunk line of more than 4 KiB", 400,
        (
            chunks(b"5;" + b"x" * 5000 + b"\r\nhello\r\n0\r\n\r\n"), chunks(b"5;" + b"x" * 300_000),
            chunks(b"5" + b" " * 5000 + b"\r\nhello\r\n0\r\n\r\n"), chunks(b"0;" + b"x" * 5000 + b"\r\n\r\n"),
        ),
    ),
    Refused(
        "S13-chunks-of-one-byte", "RFC 9112, 7.1", "chunks that carry too little for their lines, thousands of them",
        400,
        (chunks(b"1\r\na\r\n" * 30_000 + PREFIX), chunks((b"1;" + b"x" * 900 + b"\r\na\r\n") * 200 + PREFIX)),
    ),
    Refused(
        "S14-trailers-that-are-none", "RFC 9112, 7.1.2", "a trailer section that is malformed or above 8 KiB", 400,
        [chunks(b"5\r\nhello\r\n0\r\n" + lines + b"\r\n\r\n") for lines in TRAILERS],
    ),
    Arrives(
        "S03-leading-zeros", "RFC 9110, 8.6", "a length with leading zeros, with white space around, in any case",
        "passes as the number",
        {
            post(b"Content-Length: 00005"): post(LENGTH),
            post(b"Content-Length:5"): post(LENGTH),
            post(b"Content-Length: \t 5 \t"): post(LENGTH),
            post(b"cOnTeNt-LeNgTh: 5"): post(LENGTH),
            post(b"Content-Length: 0", body=b""): post(b"Content-Length: 0", body=b""),
            post(b"Content-Length: " + b"0" * 18, body=b""): post(b"Content-Length: 0", body=b""),
            get(HOST, LENGTH) + b"hello": get(HOST, LENGTH) + b"hello",
            message(b"DELETE / HTTP/1.1", HOST, LENGTH, body=b"hello"): message(
                b"DELETE / HTTP/1.1", HOST, LENGTH, body=b"hello"
            ),
        },
    ),
    Arrives(
        "S05-chunked-in-any-case", "RFC 9112, 7", "`chunked` in any case, its chunks in any sizes",
        "the body is coded anew: no extension, no zeros, no padding",
        {
            post(b"Transfer-Encoding: " + value, body=coded): chunks(b"5\r\nhello\r\n0\r\n\r\n")
            for value, coded in (
                (b"chunked", b"5\r\nhello\r\n0\r\n\r\n"), (b"Chunked", b"05\r\nhello\r\n00\r\n\r\n"),
                (b"CHUNKED \t", b"5;a=b\r\nhello\r\n0;c\r\n\r\n"), (b"\tchunked", b'5;a="x;y"\r\nhello\r\n0\r\n\r\n'),
                (b"chunked", b"5 ;a = b\r\nhello\r\n0\r\n\r\n"), (b"chunked", b"000000000000005\r\nhello\r\n0\r\n\r\n"),
                (b"chunked", b'5;a="\r\nhello\r\n0\r\n\r\n'), (b"chunked", b"5;;;\r\nhello\r\n0\r\n\r\n"),
                (b"chunked", b"5 \r\nhello\r\n0\r\n\r\n"), (b"chunked", b"5\t\r\nhello\r\n0\r\n\r\n"),
                (b"chunked", b"5;0\r\nhello\r\n0\r\n\r\n"), (b"chunked", b"5;\\\"\r\nhello\r\n0\r\n\r\n"),
            )
        },
    ),
    Arrives(
        "S01-body-that-looks-like-a-request", "RFC 9112, 6.3",
        "a body that looks like a request (CL.0, 0.CL, TE.0)",
        "stays a body",
        {
            sent: sent
            for method in (b"POST", b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"PUT", b"PROPFIND")
            for smuggled in (b"GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n",)
            for sent in (
                message(method + b" / HTTP/1.1", HOST, b"Content-Length: %d" % len(smuggled), body=smuggled),
                message(method + b" / HTTP/1.1", HOST, CHUNKED,
                body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(smuggled), smuggled)),
            )
        },
    ),
    Arrives(
        "S14-trailers-that-steer", "RFC 9110, 6.5.1", "trailers that frame, route, authorise, or steer the mesh",
        "they are dropped; others pass",
        {
            chunks(HELLO + field + b"\r\nX-Sum: 7\r\n\r\n"): chunks(HELLO + b"X-Sum: 7\r\n\r\n")
            for field in (
                b"Content-Length: 9", b"Transfer-Encoding: chunked", b"Host: evil", b"Authorization: x", b"Cookie: x",
                b"Set-Cookie: x", b"Proxy-Authorization: x", b"l5d-dtab: /a=>/b", b"L5D-Ctx-Trace: x", b"TE: trailers",
                b"Connection: close", b"Via: 1.1 nodeagent", b"Upgrade: h2c", b"Content_Length: 9",
                b"Transfer_Encoding: chunked", b"l5d_dtab: /a=>/b",
            )
        },
    ),
)  # fmt: skip
