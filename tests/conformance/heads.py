"""Lines of a request's head: names, values, line ends, the request line, limits."""

from __future__ import annotations

from tests.conformance.rules import HOST, Arrives, Refused, get, message, post

SEPARATORS = b'()<>@,;:\\"/[]?={} \t'
CONTROLS = bytes([*range(9), *range(0x0B, 0x0D), *range(0x0E, 0x20), 0x7F])


def _named(name: bytes) -> bytes:
    return get(HOST, name + b": y")


HEADS: tuple[Refused | Arrives, ...] = (
    Refused(
        "S11-bare-line-ends", "RFC 9112, 2.2", "a bare CR or LF anywhere in a head", 400,
        (
            get(HOST).replace(b"\r", b""), get(HOST).replace(b"\n", b"\r"), get(HOST, b"X: y\nZ: q"),
            get(HOST, b"X: y\rZ: q"),
            get(HOST, b"X: y\n"), get(HOST, b"X: y\r"), b"GET / HTTP/1.1\nHost: web\r\n\r\n",
            b"GET / HTTP/1.1\rHost: web\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: web\n\r\n", b"GET / HTTP/1.1\r\r\nHost: web\r\n\r\n",
            b"GET /\rX HTTP/1.1\r\nHost: web\r\n\r\n",
            b"\nGET / HTTP/1.1\r\nHost: web\r\n\r\n", b"\rGET / HTTP/1.1\r\nHost: web\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: web\n\n\r\n\r\n",
            b"\n\r\nGET / HTTP/1.1\r\nHost: web\r\n\r\n", get(HOST, b"X: \xff", b"Y: y\nZ: q"), get(HOST, b"X\n: y"),
            get(HOST, b"X\r: y"),
        ),
    ),
    Refused(
        "S21-controls-in-values", "RFC 9110, 5.5", "every control character but TAB, in a value", 400,
        [get(HOST, b"X: a" + bytes([byte]) + b"b") for byte in CONTROLS],
    ),
    Refused(
        "S21-controls-beside-obs-text", "RFC 9110, 5.5", "the same where the value also has a byte above 127", 400,
        [get(HOST, b"X: \xff" + bytes([byte]) + b"b") for byte in b"\x00\x01\x08\x0b\x0c\x1b\x1f\x7f"],
    ),
    Refused(
        "S21-controls-in-names", "RFC 9110, 5.1", "control characters in a field's name", 400,
        [_named(b"X" + bytes([byte]) + b"Y") for byte in CONTROLS],
    ),
    Refused(
        "S22-space-before-the-colon", "RFC 9112, 5.1", "white space around a field's name", 400,
        (
            get(HOST, b"X : y"), get(HOST, b"X\t: y"), get(HOST, b"X  : y"), get(HOST, b"X \t: y"), get(b"Host : web"),
            get(b"Host\t: web"), get(HOST, b"X Y: z"), get(HOST, b"X: \xff", b"Y : z"), get(HOST, b"Host : evil"),
        ),
    ),
    Refused(
        "S25-names-that-are-no-token", "RFC 9110, 5.1 and 5.6.2",
        "an empty name, no colon, delimiters and bytes above 127 in it",
        400,
        (
            get(HOST, b": y"), get(HOST, b":"), get(HOST, b"y"), get(HOST, b":: y"), get(HOST, b" : y"),
            get(HOST, b": X: y"),
            *[_named(b"X" + bytes([byte]) + b"Y") for byte in SEPARATORS if byte not in b":"],
            _named(b"X\x80"), _named(b"\xc3\x9c"), _named(b"X\xff"), _named(b"\xef\xbb\xbfX"),
        ),
    ),
    Refused(
        "S23-folding", "RFC 9112, 5.2", "a line that begins with white space, behind a field", 400,
        (
            get(HOST, b"X: y", b" z"), get(HOST, b"X: y", b"\tz"), get(HOST, b"X: y", b" "), get(HOST, b"X: y", b"\t"),
            get(HOST, b" evil"), get(HOST, b"\tevil"), get(HOST, b"X: y", b" Host: evil"), get(HOST, b"X: \xff", b" z"),
            get(HOST, b"X:", b" y"),
        ),
    ),
    Refused(
        "S24-white-space-before-the-first-field", "RFC 9112, 2.2",
        "a line that begins with white space, behind the request line",
        400,
        (get(b" X: y", HOST), get(b"\tX: y", HOST), get(b" ", HOST), get(b" Host: web"), get(b"\tHost: web", HOST),
        get(b" ", b" ", HOST)),
    ),
    Refused(
        "S27-blank-lines", "RFC 9112, 2.2", "more than one empty line before a request", 400,
        (b"\r\n" * 1000 + get(HOST), b"\r\n" * 2 + get(HOST), b"\r\n" * 3, b"\r\n \r\n" + get(HOST),
        b" \r\n" + get(HOST)),
    ),
    Refused(
        "S28-long-request-line", "RFC 9112, 3", "a request line above `maxInitialLineKB`", 414,
        (
            get(HOST, target=b"/" + b"a" * 1_000_000), get(HOST, target=b"/" + b"a" * 4096), b"GET /" + b"a" * 500_000,
            get(target=b"http://" + b"a" * 5000 + b"/"), b"GET " * 2000,
        ),
    ),
    Refused(
        "S29-large-head", "RFC 6585, 5", "a head above `maxHeadersKB`, or above 128 fields", 431,
        (
            get(HOST, *[b"X: y"] * 10_000), get(HOST, *[b"X: y"] * 200), get(HOST, *[b"X: y"] * 129),
            get(HOST, b"X: " + b"y" * 65_536),
            get(HOST, b"X: " + b"y" * 8200), get(HOST, b"Cookie: " + b"a=b; " * 2000), get(HOST, b"y" * 9000 + b": z"),
            get(HOST, b"X: " + b"y" * 9000)[:-4],
        ),
    ),
    Refused(
        "S30-method", "RFC 9110, 9.1; RFC 9112, 3", "a method in lower case, of other characters, or of over 24", 501,
        (
            *[
                message(method + b" / HTTP/1.1", HOST)
                for method in (b"get", b"Get", b"gET", b"G:T", b"GET1", b"G_T", b"G.T", b"-GET", b"A" * 25, b"G@T",
                b"GET/", b"\xc7ET", b"{GET}")
            ],
            message(b"A" * 10_240 + b" / HTTP/1.1", HOST), b"A" * 1_000_000,
        ),
    ),
    Refused(
        "S31-request-line", "RFC 9112, 2.3 and 3", "a request line of other than three words with one space between",
        400,
        (
            message(b"GET /", HOST), message(b"GET", HOST), message(b"", HOST), b"GARBAGE\r\n\r\n",
            message(b"GET  / HTTP/1.1", HOST),
            message(b"GET /  HTTP/1.1", HOST), message(b"GET / HTTP/1.1 ", HOST), message(b" GET / HTTP/1.1", HOST),
            message(b"GET\t/\tHTTP/1.1", HOST), message(b"GET / HTTP/1.1\t", HOST), message(b"GET /\x0bHTTP/1.1", HOST),
            message(b"GET / HTTP/1.1 x", HOST), message(b"GET / x HTTP/1.1", HOST), message(b"GET /\xa0HTTP/1.1", HOST),
            message(b"GET /a b HTTP/1.1", HOST), message(b"GET / HTTP/1.1\x00", HOST),
            message(b"\x00GET / HTTP/1.1", HOST),
            message(b"GET /\x0c HTTP/1.1", HOST), message(b"GET  HTTP/1.1", HOST), message(b"/ GET HTTP/1.1 x", HOST),
        ),
    ),
    Refused(
        "S31-version-unreadable", "RFC 9112, 2.3", "a version that is no `HTTP/DIGIT.DIGIT`", 400,
        [
            message(b"GET / " + version, HOST)
            for version in (
                b"HTTP/1.10", b"HTTP/11", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"http/1.1", b"Http/1.1", b"HTTP/1.1.1",
                b"HTTP/01.1",
                b"HTTP/1.01", b"HTTP/+1.1", b"HTTP/1,1", b"HTTP/-1.1", b"HTTP/1.1;", b"HTTP/1.1x", b"HTTP1.1",
                b"HTTPS/1.1",
                b"XHTTP/1.1", b"HTTP//1.1", b"HTTP/1.x", b"ICY/1.1", b"RTSP/1.0", b"HTTP/\xb9.1",
            )
        ],
    ),
    Refused(
        "S31-version-unsupported", "RFC 9110, 15.6.6", "a well-formed version other than 1.0 and 1.1", 505,
        [message(b"GET / HTTP/" + version, HOST) for version in (b"0.9", b"1.2", b"1.9", b"2.0", b"3.0", b"3.7",
        b"9.9", b"0.0")],
    ),
    Refused(
        "S51-expectation", "RFC 9110, 10.1.1", "an Expect other than `100-continue`", 417,
        [
            post(b"Expect: " + value, b"Content-Length: 5")
            for value in (
                b"cake", b"", b"100-continue, 100-continue", b"100-continue, cake", b"100", b"100-continue;x",
                b"x 100-continue",
                b"100-continue x", b"200-ok", b"100 continue", b"=100-continue", b"\xff",
            )
        ],
    ),
    Refused(
        "S51-expectation-twice", "RFC 9110, 10.1.1", "two Expect fields", 417,
        (
            post(b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 5"),
            post(b"Expect: 100-continue", b"Expect: x", b"Content-Length: 5"),
            get(HOST, b"Expect:", b"Expect: 100-continue"),
        ),
    ),
    Arrives(
        "S21-values", "RFC 9110, 5.5", "bytes above 127, TAB, delimiters and nothing at all in a value",
        "passes to the byte",
        {
            sent: sent
            for value in (b" \xff", b" \x80\x81", b" a\tb", b"", b" ", b"y", b"  y  ", b" a:b", b" :", b" \"a\\\"b\"",
            b" {}[]<>()", b" =?utf-8?q?=0d=0a?=")
            for sent in (get(HOST, b"X:" + value),)
        },
    ),
    Arrives(
        "S27-one-blank-line", "RFC 9112, 2.2", "one empty line before a request", "forgiven",
        {b"\r\n" + get(HOST): get(HOST), b"\r\n" + post(b"Content-Length: 5"): post(b"Content-Length: 5")},
    ),
    Arrives(
        "S30-other-methods", "RFC 9110, 9.1", "a method that is not known, in upper case", "passes",
        {
            sent: sent
            for method in (b"PROPFIND", b"M-SEARCH", b"A" * 24, b"QUERY", b"PRI", b"PATCH", b"BREW")
            for sent in (message(method + b" / HTTP/1.1", HOST),)
        },
    ),
    Arrives(
        "S31-http10", "RFC 9112, 2.3", "HTTP/1.0", "goes on as HTTP/1.1, and the connection closes",
        {message(b"GET / HTTP/1.0", HOST): get(HOST),
        message(b"GET / HTTP/1.0", HOST, b"X: \xff"): get(HOST, b"X: \xff")},
    ),
    Arrives(
        "S29-fields-up-to-the-limit", "RFC 9110, 5.4", "128 fields, repeated names among them", "pass in order",
        {get(HOST, *[b"X: %d" % n for n in range(128)]): get(HOST, *[b"X: %d" % n for n in range(128)])},
    ),
)  # fmt: skip
