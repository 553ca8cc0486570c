"""Reads message heads: one strict regular expression for what is plain, h11 for the rest.

What the strict reader takes is a subset of RFC 9112 on which no two readers disagree: CRLF line ends, no folding, no
space before a colon, visible ASCII. Everything else goes to h11, the reference machine, after the checks that h11
leaves out on purpose (bare CR or LF, folding: RFC 9112, 2.2 and 5.2). It judges only: both yield the same `RequestHead`
or `ResponseHead`, and the rules on what the fields mean (`special`) are checked once, behind both.

Programs repeat themselves: on a connection that is kept, one request's fields are often those of the one before, to the
byte, and so is a response's head. So verdicts are remembered, and what they yield is shared and never changed.

Pure: bytes in, values or `BadRequest` / `ResponseInvalid` out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, TypeVar

import h11

from nodeagent.http1.target import check_authority, unusual_target
from nodeagent.proxy.errors import BadRequest, ResponseInvalid
from nodeagent.proxy.messages import REQUEST_SPECIAL, RESPONSE_SPECIAL, RequestHead, without_fields

MAX_FIELDS = 128
"""Field lines in one head, special ones aside; Envoy and HAProxy allow about 100."""

MAX_RESPONSE_HEAD = 64 * 1024
"""Bytes of a backend's response head; Envoy's limit is 60 KiB."""

MEMO = 256
"""Verdicts that are remembered, on the fields of requests and on the heads of responses."""

MEMO_BYTES = 2048
"""What is longer is judged each time, so that a memo stays below 2 MB."""

T = TypeVar("T")

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"

# No "#" and no backslash: the first never belongs in a request target, the second is a slash to some readers.
# TRACE is left to the slow way, which has rules of its own for it.
_REQUEST_LINE = re.compile(rb"(?!TRACE )([A-Z][A-Z-]{0,23}) ([!\"$-\[\]-~]++) HTTP/1\.([01])(?=\r\n)")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t -~]*+))?(?=\r\n)")
# Linear without a possessive group, as no line can be read in two ways. CPython before 3.11.5 gets such groups wrong
# (gh-106052): it would leave every head to h11.
_FIELDS = re.compile(rb"(?:\r\n" + _TOKEN + rb"++:[\t -~]*+)*\r\n\r\n")
_FIELDS_WITHOUT_UNDERSCORE = re.compile(_FIELDS.pattern.replace(b"_", b""))


def _finder(names: frozenset[bytes]) -> re.Pattern[bytes]:
    """Return what finds the lines of `names`, in any case, in a block that begins with a CRLF: name and value.

    The alternatives form a tree over their letters, so that a line of another name is passed over at its first ones.
    """
    initials = b"".join({name[:1] + name[:1].upper() for name in names})
    return re.compile(rb"\r\n(?=[" + initials + rb"])(" + _any_of(sorted(names)) + rb"):[ \t]*+([^\r\n]*+)")


def _any_of(names: list[bytes]) -> bytes:
    tails: dict[bytes, list[bytes]] = {}
    for name in names:
        tails.setdefault(name[:1], []).append(name[1:])
    options = [_letter(first) + _any_of(rest) if first else b"" for first, rest in tails.items()]
    return options[0] if len(options) == 1 else b"(?:" + b"|".join(reversed(options)) + b")"


def _letter(letter: bytes) -> bytes:
    return b"[" + letter + letter.upper() + b"]" if letter.isalpha() else re.escape(letter)


_REQUEST_SPECIAL = _finder(REQUEST_SPECIAL)
_RESPONSE_SPECIAL = _finder(RESPONSE_SPECIAL)

_FIRST_LINE = re.compile(rb"([^\r\n]*)")
_BARE_LINE_END = re.compile(rb"\r(?!\n|\Z)|(?<!\r)\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FOLD = re.compile(rb"\r\n[ \t]")
_METHOD = re.compile(rb"[A-Z][A-Z-]{0,23}\Z")
_METHOD_WORD = re.compile(rb"[^ ]{0,24}(?: |\Z)")
_TARGET = re.compile(rb"[!\"$-\[\]-~]+\Z")


class ResponseHead(NamedTuple):
    """A backend's answer before its body. It may be shared between responses."""

    status: int
    reason: bytes
    version: int
    fields: bytes
    special: Mapping[bytes, bytes]
    keep: bool
    """Whether the backend leaves the connection open afterwards."""


def _remembered(judge: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """Return `judge` with a memory for bytes of ordinary length."""
    remember = lru_cache(MEMO)(judge)
    return lambda data: remember(data) if len(data) <= MEMO_BYTES else judge(data)


def parse_request(head: bytes) -> RequestHead:
    """Read one whole request head, from its first line to its empty line.

    Raises BadRequest with the status and the reason.
    """
    line = _REQUEST_LINE.match(head)
    plain = _plain_request(head[line.end() :]) if line else None
    if line is None or plain is None:
        method, target, version, block = _unusual_request(head)
        fields, special, host = _request_fields(block, True)
        if method == b"TRACE":
            fields = _traceable(fields, special)
    else:
        method, target, digit = line.groups()
        version = 11 if digit == b"1" else 10
        fields, special, host = plain
    if b"%00" in target:
        raise BadRequest("the request target holds an encoded NUL")
    if host is None and version != 10:
        raise BadRequest("the request has no Host")
    if target.startswith(b"/") and method != b"CONNECT":
        authority, path = host or b"", target
    else:
        authority, path = unusual_target(method, target, host or b"")
    return RequestHead(method, authority, path, version, fields, special)


@_remembered
def _plain_request(block: bytes) -> tuple[bytes, Mapping[bytes, bytes], bytes | None] | None:
    """As `_request_fields`, of a block as received; None when it is not plain."""
    if _FIELDS_WITHOUT_UNDERSCORE.fullmatch(block):
        return _request_fields(block, False)
    return _request_fields(block, True) if _FIELDS.fullmatch(block) else None


def _request_fields(block: bytes, underscores: bool) -> tuple[bytes, Mapping[bytes, bytes], bytes | None]:
    """Return the lines that pass through, the special fields, and Host. Raises BadRequest.

    A block is what follows a head's first line: each field with a CRLF before it, then two. `underscores` tells whether
    names may hold some.
    """
    fields, special = _sort(block, _REQUEST_SPECIAL)
    if fields.count(b"\r\n") > MAX_FIELDS:
        raise BadRequest(f"the request has more than {MAX_FIELDS} header fields", status=431)
    host = special.pop(b"host", None)
    if host:
        check_authority(host, "Host")
    expect = special.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        raise BadRequest(f"Expect {expect[:40].decode('latin-1')!r} is not known", status=417)
    if underscores:
        fields = without_fields(fields, is_twin)
    return _without_nominated(fields, special), special, host


def is_twin(name: bytes) -> bool:
    """Tell whether `name`, by an underscore for a hyphen, is taken for a field that frames, routes or is believed.

    To CGI and WSGI programs `Content_Length` and `Content-Length` are one variable (RFC 3875, 4.1.18).
    """
    if b"_" not in name:
        return False
    other = name.lower().replace(b"_", b"-")
    return other in REQUEST_SPECIAL or other.startswith((b"l5d-", b"x-forwarded-", b"x-real-ip"))


def _traceable(fields: bytes, special: Mapping[bytes, bytes]) -> bytes:
    """Return the fields of a TRACE request less what its answer must not show (RFC 9110, 9.3.8). Raises BadRequest."""
    if b"content-length" in special or b"transfer-encoding" in special:
        raise BadRequest("TRACE has no body")
    return without_fields(fields, lambda name: name.lower() in _CREDENTIALS)


_CREDENTIALS = frozenset({b"authorization", b"cookie"})


@_remembered
def parse_response(head: bytes) -> ResponseHead:
    """Read one whole response head. Raises ResponseInvalid with the reason."""
    if len(head) > MAX_RESPONSE_HEAD:
        raise ResponseInvalid(f"the response head is longer than {MAX_RESPONSE_HEAD} bytes")
    line = _STATUS_LINE.match(head)
    if line is None or not _FIELDS.fullmatch(head, line.end()):
        status, reason, version, block = _unusual_response(head)
    else:
        digit, digits, phrase = line.groups()
        status, reason, version, block = int(digits), phrase or b"", 11 if digit == b"1" else 10, head[line.end() :]
    fields, special = _sort(block, _RESPONSE_SPECIAL)
    if fields.count(b"\r\n") > MAX_FIELDS:
        raise ResponseInvalid(f"the response has more than {MAX_FIELDS} header fields")
    keep = keeps_alive(version, special)
    return ResponseHead(status, reason, version, _without_nominated(fields, special), special, keep)


def _sort(block: bytes, finder: re.Pattern[bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the lines of `block` without those that `finder` finds; and these."""
    pieces = iter(finder.split(block))  # what is between special fields, and after each piece the next name and value
    fields = next(pieces)
    special: dict[bytes, bytes] = {}
    for name, value, after in zip(pieces, pieces, pieces, strict=True):
        name, value = name.lower(), value.rstrip(b" \t")
        special[name] = special[name] + b", " + value if name in special else value
        fields += after
    return fields[2:-2], special


def _without_nominated(fields: bytes, special: Mapping[bytes, bytes]) -> bytes:
    """Drop the fields that Connection names (RFC 9110, 7.6.1); framing and the agent's own are out of its reach."""
    if b"connection" not in special or special[b"connection"].lower() in _PLAIN_CONNECTION:
        return fields
    nominated = connection_tokens(special) - _PLAIN_CONNECTION
    return without_fields(fields, lambda name: name.lower() in nominated)


_PLAIN_CONNECTION = frozenset({b"keep-alive", b"close"})


def keeps_alive(version: int, special: Mapping[bytes, bytes]) -> bool:
    """Tell whether the sender of a head leaves the connection open afterwards (RFC 9112, 9.3)."""
    value = special.get(b"connection")
    if value is None:
        return version != 10
    if value in _PLAIN_CONNECTION:
        return value == b"keep-alive"
    tokens = connection_tokens(special)
    return b"close" not in tokens and (version != 10 or b"keep-alive" in tokens)


def connection_tokens(special: Mapping[bytes, bytes]) -> set[bytes]:
    """Return the options of the Connection field, in lower case."""
    return {token.strip(b" \t").lower() for token in special.get(b"connection", b"").split(b",")}


def check_incomplete(buffer: bytes, max_line: int, max_head: int) -> None:
    """Refuse early what can no longer become a good request head. Raises BadRequest."""
    line = buffer.find(b"\r\n")
    line = line if line >= 0 else len(buffer)
    if line > max_line and not _METHOD_WORD.match(buffer):
        raise BadRequest("the method is longer than any that the agent passes on", status=501)
    if line > max_line:
        raise BadRequest(f"the request line is longer than {max_line} bytes", status=414)
    if len(buffer) - line > max_head:
        raise BadRequest(f"the header section is longer than {max_head} bytes", status=431)
    if has_bare_line_end(buffer):
        raise BadRequest("a line of the request ends without CRLF")


def has_bare_line_end(head: bytes) -> bool:
    """Tell whether a CR or LF stands alone in a head, whole or not; a CR at the end may still get its LF."""
    return _BARE_LINE_END.search(head) is not None


def _unusual_request(head: bytes) -> tuple[bytes, bytes, int, bytes]:
    """Return method, target, version and a block of fields."""
    if _BARE_LINE_END.search(head):
        raise BadRequest("a line of the request ends without CRLF")
    if _FOLD.search(head):
        raise BadRequest("a header line is folded, or starts with white space")
    if _CONTROL.search(head):
        raise BadRequest("the request head is not valid HTTP: it holds a control character")
    _check_request_line(head)
    machine = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head) + 1)
    try:
        machine.receive_data(head)
        event = machine.next_event()
    except h11.RemoteProtocolError as error:
        raise BadRequest(f"the request is not valid HTTP: {_fault(error)}") from None
    if not isinstance(event, h11.Request):
        raise BadRequest("the request head is not complete")
    version = 11 if event.http_version == b"1.1" else 10
    return event.method, event.target, version, _block(head)


def _check_request_line(head: bytes) -> None:
    found = _FIRST_LINE.match(head)
    words = found[1].split(b" ") if found else []
    if len(words) != 3:
        raise BadRequest("the request line is not METHOD TARGET VERSION")
    method, target, version = words
    if not _METHOD.match(method):
        raise BadRequest("the method is not one that the agent passes on", status=501)
    if not _TARGET.match(target):
        raise BadRequest("the request target holds a byte that must be percent-encoded")
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        status = 505 if re.match(rb"HTTP/[0-9]\.[0-9]\Z", version) else 400
        raise BadRequest("the version is neither HTTP/1.1 nor HTTP/1.0", status=status)


def _unusual_response(head: bytes) -> tuple[int, bytes, int, bytes]:
    """Return status, reason, version and a block of fields."""
    if _BARE_LINE_END.search(head):
        raise ResponseInvalid("a line of the response head ends without CRLF")
    if _FOLD.search(head):
        raise ResponseInvalid("a header line of the response is folded, or starts with white space")
    if _CONTROL.search(head):
        raise ResponseInvalid("the response head holds a control character")
    if not head.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")):
        raise ResponseInvalid("the response is neither HTTP/1.1 nor HTTP/1.0")
    machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=len(head) + 1)
    machine.send(h11.Request(method=b"GET", target=b"/", headers=[(b"host", b"x")]))
    machine.send(h11.EndOfMessage())
    try:
        machine.receive_data(head)
        event = machine.next_event()
    except h11.RemoteProtocolError as error:
        raise ResponseInvalid(f"the response is not valid HTTP: {_fault(error)}") from None
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        raise ResponseInvalid("the response head is not complete")
    if event.status_code > 599:
        raise ResponseInvalid(f"{event.status_code} is no status of HTTP")
    version = 11 if event.http_version == b"1.1" else 10
    return event.status_code, bytes(event.reason), version, _block(head)


def _fault(error: h11.RemoteProtocolError) -> str:
    """What h11 found, without the bytes that it shows."""
    return str(error).partition(": ")[0]


def _block(head: bytes) -> bytes:
    """The fields as they came: h11 is their judge, and has no way of its own to join repeated ones."""
    return head[head.index(b"\r\n") :]
