"""Fields that end at a hop, that the agent owns, or that count hops."""

from __future__ import annotations

from nodeagent.proxy.messages import REQUEST_SPECIAL
from tests.conformance.rules import CHUNKED, HOST, Arrives, Refused, chunks, get, message, post

TRACE = b"TRACE / HTTP/1.1"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n"
LENGTH = b"Content-Length: 5"


def _vanish(*lines: bytes) -> dict[bytes, bytes]:
    return {get(HOST, line, b"X-End: kept"): get(HOST, b"X-End: kept") for line in lines}


HOPS: tuple[Refused | Arrives, ...] = (
    Arrives(
        "S46-nominated", "RFC 9110, 7.6.1", "fields that Connection names",
        "are dropped; those that frame, route or are the agent's own are out of reach",
        {
            get(HOST, b"Connection: X-A", b"X-A: 1"): get(HOST),
            get(HOST, b"X-A: 1", b"connection: x-a, X-B", b"X-B: 2", b"X-C: 3"): get(HOST, b"X-C: 3"),
            post(b"Connection: content-length", LENGTH): post(LENGTH),
            post(b"Connection: Content-Length, X-A", b"X-A: 1", LENGTH): post(LENGTH),
            post(b"Connection: transfer-encoding", CHUNKED,
            body=b"5\r\nhello\r\n0\r\n\r\n"): chunks(b"5\r\nhello\r\n0\r\n\r\n"),
            get(b"Connection: host", HOST): get(HOST), get(HOST, b"Connection: via, l5d-dst-service"): get(HOST),
            get(HOST, b"Connection: authorization", b"Authorization: x"): get(HOST),
            get(HOST, b"Connection: x-a", b"Connection: x-b", b"X-B: 1"): get(HOST),
            get(HOST, b"Connection: ,, x-a ,", b"X-A: 1"): get(HOST),
            get(HOST, b"Connection: \xff, x-a", b"X-A: 1"): get(HOST),
            get(HOST, b"Connection: close, x-a", b"X-A: 1"): get(HOST),
            get(HOST, b"Connection: x-\xff", b"X-A: 1"): get(HOST, b"X-A: 1"),
        },
    ),
    Arrives(
        "S47-fields-of-one-hop", "RFC 9110, 7.6.1; RFC 9113, 3.1", "Keep-Alive, TE, Trailer, Proxy-*, HTTP2-Settings",
        "are not forwarded",
        _vanish(
            b"Proxy-Authorization: Basic eA==", b"Proxy-Authenticate: Basic", b"Keep-Alive: timeout=5",
            b"TE: trailers", b"TE: chunked", b"Trailer: X-Sum",
            b"Proxy-Connection: keep-alive", b"proxy-connection: close", b"HTTP2-Settings: AAMAAABkAAQAAP__",
            b"pRoXy-aUtHoRiZaTiOn: \xff", b"Connection: keep-alive",
        ),
    ),
    Arrives(
        "S48-forged-fields-of-the-agent", "RFC 9110, 7.6",
        "the fields by which the agent tells backends what it found", "are replaced by the agent's own",
        _vanish(b"l5d-dst-service: /x", b"l5d-dst-client: /x", b"l5d-dst-residual: /x", b"L5D-DST-Service: /x",
        b"l5d-dst-client: \xff"),
    ),
    Arrives(
        "S26-twins-with-underscores", "RFC 9110, 5.1; RFC 3875, 4.1.18",
        "`Content_Length` and the like: CGI and WSGI programs see them as `Content-Length`",
        "are dropped, where the true name frames, routes, or is believed; other names with an underscore pass",
        {
            **_vanish(*sorted(name.replace(b"-", b"_") + b": 5" for name in REQUEST_SPECIAL if b"-" in name)),
            **_vanish(
                b"X_Forwarded_For: 1.2.3.4", b"X-Forwarded_For: 1.2.3.4", b"x_forwarded-for: 1.2.3.4",
                b"X_Forwarded_Proto: https", b"X_Forwarded_Host: x",
                b"X_Forwarded_Port: 1", b"X_Real_IP: 1.2.3.4", b"Content_length: 50", b"Transfer_Encoding: chunked",
                b"TRANSFER_ENCODING: \xff", b"L5D_anything: x",
                b"X_Forwarded_Client_Cert: x",
            ),
            **{get(HOST, line): get(HOST, line) for line in (b"X_Other: 1", b"_: 1", b"Cookie: a_b=c",
            b"X-Forwarded-For: 1.2.3.4", b"Hos_t: 1")},
        },
    ),
    Arrives(
        "S40-trace", "RFC 9110, 9.3.8", "TRACE", "passes without Authorization and Cookie, which its answer would show",
        {
            message(TRACE, HOST): message(TRACE, HOST),
            message(TRACE, HOST, b"Authorization: x", b"X: y", b"cookie: a=b"): message(TRACE, HOST, b"X: y"),
            message(TRACE, HOST, b"AUTHORIZATION: \xff", b"Proxy-Authorization: x"): message(TRACE, HOST),
        },
    ),
    Refused(
        "S40-trace-with-body", "RFC 9110, 9.3.8", "TRACE with a body", 400,
        (message(TRACE, HOST, LENGTH, body=b"hello"), message(TRACE, HOST, CHUNKED, body=b"0\r\n\r\n"),
         message(TRACE, HOST, b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED)),
    ),
    Arrives(
        "S40-max-forwards-above-0", "RFC 9110, 7.6.2", "Max-Forwards above 0",
        "is one less for TRACE and OPTIONS, and as it was for others",
        {
            message(TRACE, HOST, b"Max-Forwards: 1"): message(TRACE, HOST, b"Max-Forwards: 0"),
            message(b"OPTIONS * HTTP/1.1", HOST, b"max-forwards: 10"): message(b"OPTIONS * HTTP/1.1", HOST,
            b"Max-Forwards: 9"),
            message(b"OPTIONS /x HTTP/1.1", HOST, b"Max-Forwards: 007"): message(b"OPTIONS /x HTTP/1.1", HOST,
            b"Max-Forwards: 6"),
            get(HOST, b"Max-Forwards: 0"): get(HOST, b"Max-Forwards: 0"),
            get(HOST, b"Max-Forwards: 3"): get(HOST, b"Max-Forwards: 3"),
        },
    ),
    Refused(
        "S40-max-forwards-grammar", "RFC 9110, 7.6.2", "Max-Forwards that is no number, of TRACE or OPTIONS", 400,
        [message(line, HOST, b"Max-Forwards: " + value) for line in (TRACE, b"OPTIONS * HTTP/1.1") for value in (b"",
        b"-1", b"x", b"1, 1", b"0x1", b"9" * 30, b"+1", b"1_0")],
        stays=True,
    ),
    Refused(
        "S14-S44-bad-dtab", "RFC 9110, 15.5.1", "a dtab header that does not parse", 400,
        [get(HOST, b"l5d-dtab: " + value) for value in (b"/a=>", b"/svc=>/\xff", b"=>", b"/a=>/b;;;=>", b"/a=>/b|",
        b"a=>b", b"/a=>/b)")],
        stays=True,
    ),
)  # fmt: skip
