"""What backends say: what is no HTTP, what breaks off, and what is odd and passes in one form."""

from __future__ import annotations

from tests.conformance.framing import CODINGS, DIRTY_CODINGS, LENGTHS, SIZES
from tests.conformance.heads import CONTROLS, SEPARATORS
from tests.conformance.rules import CHUNKED, BadAnswer, OddAnswer, Torn, answer, message

NO_TOKEN = SEPARATORS.replace(b":", b"") + b"\x00\x01\x7f\x80\xff"
OK = answer(b"Content-Length: 2", body=b"ok")
TWO = b"Content-Length: 2"


def _field(line: bytes) -> bytes:
    return answer(line, TWO, body=b"ok")


def _chunks(coded: bytes) -> bytes:
    return answer(CHUNKED, body=coded)


def _got(*fields: bytes, status: bytes = b"200 OK", body: bytes = b"ok", success: bytes = b"1.0") -> bytes:
    own = (b"Via: 1.1 nodeagent", b"l5d-success-class: " + success)
    passed = [field for field in fields if not field.startswith((b"Content-Length", b"Transfer"))]
    framing = [field for field in fields if field.startswith((b"Content-Length", b"Transfer"))]
    return answer(*passed, *own, *framing, status=status, body=body)


BAD_ANSWERS: tuple[BadAnswer, ...] = (
    BadAnswer(
        "S21-answer-controls", "RFC 9110, 5.5", "every control character but TAB, in a value",
        [_field(b"X: a" + bytes([byte]) + b"b") for byte in CONTROLS],
    ),
    BadAnswer(
        "S21-answer-names", "RFC 9110, 5.1", "a field's name that is no token, or none, or no colon",
        [
            *[_field(b"X" + bytes([byte]) + b"Y: z") for byte in NO_TOKEN],
            _field(b": y"), _field(b"y"), _field(b":"),
        ],
    ),
    BadAnswer(
        "S11-answer-bare-line-ends", "RFC 9112, 2.2", "a bare CR or LF anywhere in a head",
        (
            OK.replace(b"\r", b""), OK.replace(b"\n", b"\r") + b"\r\n\r\n", _field(b"X: a\nY: b"),
            _field(b"X: a\rY: b"),
            b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 200 OK\rContent-Length: 2\r\n\r\nok",
            _field(b"X: y\n"), _field(b"X: y\r"), b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok",
        ),
    ),
    BadAnswer(
        "S22-answer-space-before-the-colon", "RFC 9112, 5.1", "white space before the colon",
        (_field(b"X : y"), _field(b"X\t: y"), answer(b"Content-Length : 2", body=b"ok"),
        answer(b"Transfer-Encoding : chunked")),
    ),
    BadAnswer(
        "S23-answer-folding", "RFC 9112, 5.2", "line folding, and white space before the first field",
        (
            answer(b"X: y", b" z", TWO, body=b"ok"), answer(b"X: y", b"\tz", TWO, body=b"ok"),
            answer(b" X: y", TWO, body=b"ok"),
            answer(b"X: \xff", b" z", TWO, body=b"ok"), answer(b"Content-Length:", b" 2", body=b"ok"),
            answer(b" ", TWO),
        ),
    ),
    BadAnswer(
        "S01-answer-length-and-coding", "RFC 9112, 6.3", "Content-Length and Transfer-Encoding in one answer",
        (
            answer(TWO, CHUNKED, body=b"0\r\n\r\n"), answer(CHUNKED, TWO, body=b"0\r\n\r\n"),
            answer(TWO, b"Transfer-Encoding: gzip"),
            answer(b"Content-Length: 0", CHUNKED, body=b"0\r\n\r\n"),
            answer(b"X: \xff", TWO, CHUNKED, body=b"0\r\n\r\n"),
        ),
    ),
    BadAnswer(
        "S02-answer-lengths", "RFC 9112, 6.3; RFC 9110, 8.6",
        "two lengths, a list of them, a length that is not 1 to 18 digits",
        [
            answer(TWO, TWO, body=b"ok"), answer(TWO, b"Content-Length: 3", body=b"ok"),
            answer(b"Content-Length: 2, 2", body=b"ok"),
            answer(b"X: \xff", TWO, TWO, body=b"ok"),
            *[answer(b"Content-Length: " + value, body=b"hello") for value in LENGTHS],
        ],
    ),
    BadAnswer(
        "S05-answer-coding", "RFC 9112, 6.1 and 7", "a coding that is not just `chunked`, or in HTTP/1.0",
        [
            *[answer(b"Transfer-Encoding: " + value, body=b"0\r\n\r\n") for value in CODINGS + DIRTY_CODINGS],
            answer(CHUNKED, CHUNKED, body=b"0\r\n\r\n"), message(b"HTTP/1.0 200 OK", CHUNKED, body=b"0\r\n\r\n"),
        ],
    ),
    BadAnswer(
        "S31-answer-status-line", "RFC 9112, 4; RFC 9110, 15",
        "a status line that is none, another version, a status that is none",
        [
            message(line, TWO, body=b"ok")
            for line in (
                b"HTTP/1.1 099 Low", b"HTTP/1.1 600 High", b"HTTP/1.1 999 X", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK",
                b"HTTP/1.1 2x0 OK",
                b"HTTP/1.1 -200 OK", b"HTTP/1.1 +20 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK",
                b"HTTP/1.1 200\tOK", b"HTTP/1.1", b"200 OK",
                b"HTTP/1.1 OK", b" HTTP/1.1 200 OK", b"http/1.1 200 OK", b"HTTP/1.2 200 OK", b"HTTP/2 200 OK",
                b"HTTP/2.0 200 OK", b"HTTP/0.9 200 OK",
                b"HTTP/3.7 200 OK", b"HTTP/1.10 200 OK", b"ICY 200 OK", b"SSH-2.0-OpenSSH", b"", b"+OK",
                b"HTTP/1.1 200 \x00", b"HTTP/1.1 2\xb20 OK",
                b"\xef\xbb\xbfHTTP/1.1 200 OK", b"GET / HTTP/1.1", b"HTTP/1.1 0 OK", b"HTTP/1.1 200OK",
            )
        ],
    ),
    BadAnswer(
        "S29-answer-large-head", "RFC 9110, 5.4", "a head above 64 KiB, or above 128 fields",
        (
            answer(*[b"X: y"] * 129, TWO, body=b"ok"), answer(*[b"X: y"] * 10_000), _field(b"X: " + b"y" * 65_536),
            answer(b"X: " + b"y" * 200_000), b"HTTP/1.1 200 " + b"y" * 200_000, b"y" * 200_000,
        ),
    ),
    BadAnswer(
        "S52-answer-interim", "RFC 9110, 15.2", "more than 32 interim answers, or a broken one",
        (
            b"HTTP/1.1 103 Hint\r\n\r\n" * 10_000, b"HTTP/1.1 100 Continue\r\n\r\n" * 33 + OK,
            b"HTTP/1.1 102 \r\n\r\n" * 33 + OK,
            b"HTTP/1.1 103 Hint\r\nX : y\r\n\r\n" + OK, b"HTTP/1.1 103 Hint\r\nX: \0\r\n\r\n" + OK,
        ),
    ),
    BadAnswer(
        "S18-answer-unasked-101", "RFC 9110, 7.8", "101 where no upgrade was asked for",
        (answer(status=b"101 Switching Protocols"),
        answer(b"Upgrade: x", b"Connection: upgrade", status=b"101 Switching"),
         b"HTTP/1.1 100 \r\n\r\n" + answer(status=b"101 Switching") + OK),
    ),
)  # fmt: skip

TORN: tuple[Torn, ...] = (
    Torn(
        "S09-answer-chunk-size", "RFC 9112, 7.1",
        "a chunk size that is not 1 to 15 hexadecimal digits, behind a sound chunk",
        [_chunks(b"2\r\nok\r\n" + size + b"\r\nhello\r\n0\r\n\r\n") for size in SIZES],
    ),
    Torn(
        "S10-answer-chunks", "RFC 9112, 7.1",
        "chunks without CRLF, bare line ends, endless extensions and trailers, tiny chunks",
        [
            _chunks(coded)
            for coded in (
                b"2\r\nokXX0\r\n\r\n", b"2\r\nok0\r\n\r\n", b"2\r\nok\n0\r\n\r\n", b"2\r\nokk\r\n0\r\n\r\n",
                b"2\nok\n0\n\n", b"2\rok\r0\r\r",
                b"2;" + b"x" * 10_000 + b"\r\nok\r\n0\r\n\r\n", b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n",
                b"2\r\nok\r\n0\r\nX: " + b"y" * 10_000 + b"\r\n\r\n",
                b"2\r\nok\r\n0\r\nX : y\r\n\r\n", b"2\r\nok\r\n0\r\nX: \0\r\n\r\n",
                b"2\r\nok\r\n0\r\nX: y\r\n z\r\n\r\n",
            )
        ],
    ),
)  # fmt: skip

GET, HEAD = b"GET", b"HEAD"
FIVE = b"Content-Length: 5"
NO = b"204 No"
ODD_ANSWERS: tuple[OddAnswer, ...] = (
    OddAnswer(
        "S08-answers-without-body", "RFC 9112, 6.3; RFC 9110, 8.6", "framing fields on 204, 304, and answers to HEAD",
        "no body; a length only where it tells that of GET; a coding never; bytes behind end the backend's connection",
        {
            (GET, answer(FIVE, status=NO)): (_got(status=NO, body=b""), True),
            (GET, answer(CHUNKED, status=NO)): (_got(status=NO, body=b""), True),
            (GET, answer(FIVE, CHUNKED, status=NO)): (_got(status=NO, body=b""), True),
            (GET, answer(FIVE, status=NO, body=b"hello")): (_got(status=NO, body=b""), False),
            (GET, answer(CHUNKED, status=NO, body=b"0\r\n\r\n")): (_got(status=NO, body=b""), False),
            (GET, answer(FIVE, status=b"304 Not")): (_got(FIVE, status=b"304 Not", body=b""), True),
            (GET, answer(CHUNKED, status=b"304 Not")): (_got(status=b"304 Not", body=b""), True),
            (GET, answer(FIVE, status=b"304 Not", body=b"hello")): (_got(FIVE, status=b"304 Not", body=b""), False),
            (GET, answer(b"Content-Length: 5, 5", status=b"304 Not")): (_got(status=b"304 Not", body=b""), True),
            (HEAD, answer(FIVE)): (_got(FIVE, body=b""), True), (HEAD, answer(CHUNKED)): (_got(body=b""), True),
            (HEAD, answer()): (_got(body=b""), True), (HEAD, answer(b"Content-Length: x")): (_got(body=b""), True),
            (HEAD, answer(FIVE, body=b"hello")): (_got(FIVE, body=b""), False),
            (HEAD, answer(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n")): (_got(body=b""), False),
        },
    ),
    OddAnswer(
        "S08-interim-with-framing", "RFC 9110, 15.2", "framing fields on interim answers",
        "are taken off; the final answer is the next one",
        {
            (GET, answer(FIVE, status=b"103 Early Hints") + OK): (answer(status=b"103 Early Hints") + _got(TWO), True),
            (GET, answer(CHUNKED, status=b"100 Continue") + OK): (answer(status=b"100 Continue") + _got(TWO), True),
        },
    ),
    OddAnswer(
        "S15-bytes-behind-the-end", "RFC 9112, 9.3 and 11.2", "bytes behind the end of an answer",
        "reach nobody; the backend's connection is closed",
        {
            (GET, OK + poison): (_got(TWO), False)
            for poison in (OK, b"x", b"\r\n", b"\0", answer(status=b"100 Continue"), b"0\r\n\r\n", b"H" * 100_000)
        },
    ),
    OddAnswer(
        "S46-answer-hops", "RFC 9110, 7.6.1", "fields of one hop, and those that Connection names", "end at the agent",
        {
            (GET, answer(*fields, TWO, body=b"ok")): (_got(*kept, TWO), keeps)
            for fields, kept, keeps in (
                ((b"Connection: X-A", b"X-A: 1"), (), True), ((b"Keep-Alive: timeout=5",), (), True),
                ((b"Upgrade: h2c", b"Connection: upgrade"), (), True),
                ((b"Proxy-Authenticate: x",), (), True), ((b"Trailer: x",), (), True),
                ((b"Connection: close",), (), False),
                ((b"Connection: content-length, via",), (), True), ((b"TE: x", b"X: y"), (b"X: y",), True),
                ((b"Connection: close, x-a", b"X-A: 1"), (), False),
            )
        },
    ),
    OddAnswer(
        "S21-answer-values", "RFC 9110, 5.5; RFC 9112, 4",
        "bytes above 127, TABs, empty values; reasons missing, empty or odd", "pass",
        {
            (GET, _field(b"X: \xff")): (_got(b"X: \xff", TWO), True),
            (GET, _field(b"X: a\tb")): (_got(b"X: a\tb", TWO), True),
            (GET, _field(b"X:")): (_got(b"X:", TWO), True),
            (GET, answer(TWO, status=b"200 ", body=b"ok")): (_got(TWO, status=b"200 "), True),
            (GET, answer(TWO, status=b"200", body=b"ok")): (_got(TWO, status=b"200 "), True),
            (GET, answer(TWO, status=b"200 \xe9t\xe9", body=b"ok")): (_got(TWO, status=b"200 \xe9t\xe9"), True),
            (GET, answer(b"Content-Length: 0002", body=b"ok")): (_got(TWO), True),
            (GET, message(b"HTTP/1.0 200 OK", TWO, body=b"ok")): (_got(TWO), False),
            (GET, message(b"HTTP/1.0 200 OK", b"Connection: keep-alive", TWO, body=b"ok")): (_got(TWO), True),
        },
    ),
)  # fmt: skip
