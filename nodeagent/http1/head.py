"""Reads message heads: one strict regular expression for what is plain, h11 for the rest.

What the strict reader takes is a subset of RFC 9112 on which no two readers disagree: CRLF line ends, no folding, no
space before a colon, visible ASCII. Everything else goes to h11, the reference machine, after the checks that h11
leaves out on purpose (bare CR or LF, folding: RFC 9112, 2.2 and 5.2). Both yield the same `RequestHead` or
`ResponseHead`, and the rules on what the fields mean (`special`) are checked once, behind both.

Pure: bytes in, values or `BadRequest` / `ResponseInvalid` out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import h11

from nodeagent.proxy.errors import BadRequest, ResponseInvalid
from nodeagent.proxy.messages import REQUEST_SPECIAL, RESPONSE_SPECIAL, RequestHead

MAX_FIELDS = 128
"""Field lines in one head; Envoy and HAProxy allow about 100."""

MAX_RESPONSE_HEAD = 64 * 1024
"""Bytes of a backend's response head; Envoy's limit is 60 KiB."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_FIELDS = rb"((?:" + _TOKEN + rb"++:[\t -~]*+\r\n)*+)\r\n"

# No "#" and no backslash: the first never belongs in a request target, the second is a slash to some readers.
_REQUEST = re.compile(rb"([A-Z][A-Z-]{0,23}) ([!\"$-\[\]-~]++) HTTP/1\.([01])\r\n" + _FIELDS)
_RESPONSE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t -~]*+))?\r\n" + _FIELDS)

_REQUEST_LINE = re.compile(rb"([^\r\n]*)")
_BARE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_FOLD = re.compile(rb"\r\n[ \t]")
_METHOD = re.compile(rb"[A-Z][A-Z-]{0,23}\Z")
_TARGET = re.compile(rb"[!\"$-\[\]-~]+\Z")

# A name, an IPv4 address or a bracketed IPv6 address without zone, and maybe a port (RFC 9110, 4.2; RFC 3986, 3.2.2,
# less the delimiters that no host name has, so that nothing of a dtab's or a file's syntax can come in by a Host).
_AUTHORITY = re.compile(
    rb"(?:[0-9A-Za-z_-]{1,63}(?:\.[0-9A-Za-z_-]{1,63})*\.?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z"
)
MAX_AUTHORITY = 262
"""253 bytes of host name (RFC 1035), a dot, a colon, a port, rounded as it comes."""


class ResponseHead(NamedTuple):
    """A backend's answer before its body."""

    status: int
    reason: bytes
    version: int
    lines: list[bytes]
    special: dict[bytes, bytes]


def parse_request(head: bytes) -> RequestHead:
    """Read one whole request head, from its first line to its empty line.

    Raises BadRequest with the status and the reason.
    """
    match = _REQUEST.match(head)
    if match is None:
        method, target, version, lines, special = _unusual_request(head)
    else:
        method, target, version_digit, block = match.groups()
        version = 11 if version_digit == b"1" else 10
        lines, special = _split_fields(block, REQUEST_SPECIAL)
    if len(lines) > MAX_FIELDS:
        raise BadRequest(f"the request has more than {MAX_FIELDS} header fields", status=431)
    if b"%00" in target:
        raise BadRequest("the request target holds an encoded NUL")
    authority, path = _target(method, target, special.pop(b"host", None), version)
    if b"connection" in special:
        lines = _without_nominated(lines, special)
    return RequestHead(method, authority, path, version, lines, special)


def parse_response(head: bytes) -> ResponseHead:
    """Read one whole response head. Raises ResponseInvalid with the reason."""
    match = _RESPONSE.match(head)
    if match is None:
        status, reason, version, lines, special = _unusual_response(head)
    else:
        version_digit, status_digits, phrase, block = match.groups()
        status, reason, version = int(status_digits), phrase or b"", 11 if version_digit == b"1" else 10
        lines, special = _split_fields(block, RESPONSE_SPECIAL)
    if len(lines) > MAX_FIELDS:
        raise ResponseInvalid(f"the response has more than {MAX_FIELDS} header fields")
    if b"connection" in special:
        lines = _without_nominated(lines, special)
    return ResponseHead(status, reason, version, lines, special)


def _split_fields(block: bytes, names: frozenset[bytes]) -> tuple[list[bytes], dict[bytes, bytes]]:
    lines: list[bytes] = []
    special: dict[bytes, bytes] = {}
    if block:
        for line in block[:-2].split(b"\r\n"):
            name, _, value = line.partition(b":")
            name = name.lower()
            if name in names:
                value = value.strip(b" \t")
                special[name] = special[name] + b", " + value if name in special else value
            else:
                lines.append(line)
    return lines, special


def _without_nominated(lines: list[bytes], special: dict[bytes, bytes]) -> list[bytes]:
    """Drop the fields that Connection names (RFC 9110, 7.6.1); framing and the agent's own are out of its reach."""
    if special[b"connection"].lower() in _PLAIN_CONNECTION:
        return lines
    nominated = connection_tokens(special) - _PLAIN_CONNECTION
    return [line for line in lines if line.partition(b":")[0].lower() not in nominated]


_PLAIN_CONNECTION = frozenset({b"keep-alive", b"close"})


def keeps_alive(version: int, special: dict[bytes, bytes]) -> bool:
    """Tell whether the sender of a head leaves the connection open afterwards (RFC 9112, 9.3)."""
    value = special.get(b"connection")
    if value is None:
        return version != 10
    if value in _PLAIN_CONNECTION:
        return value == b"keep-alive"
    tokens = connection_tokens(special)
    return b"close" not in tokens and (version != 10 or b"keep-alive" in tokens)


def connection_tokens(special: dict[bytes, bytes]) -> set[bytes]:
    """Return the options of the Connection field, in lower case."""
    return {token.strip(b" \t").lower() for token in special.get(b"connection", b"").split(b",")}


def _target(method: bytes, target: bytes, host: bytes | None, version: int) -> tuple[bytes, bytes]:
    """Return authority and path of the four forms of a target (RFC 9112, 3.2 and 3.3)."""
    if host is None and version != 10:
        raise BadRequest("the request has no Host")
    if host:
        check_authority(host, "Host")
    if method == b"CONNECT":
        if b":" not in target or not target.rpartition(b":")[2].isdigit():
            raise BadRequest("CONNECT wants HOST:PORT as its target")
        check_authority(target, "target")
        return target, b""
    if target.startswith(b"/"):
        return host or b"", target
    if target == b"*":
        if method != b"OPTIONS":
            raise BadRequest('only OPTIONS may ask for "*"')
        return host or b"", target
    scheme, mark, rest = target.partition(b"://")
    if mark and scheme.lower() == b"https":
        raise BadRequest("an https target goes through the agent by CONNECT")
    if not mark or scheme.lower() != b"http":
        raise BadRequest("the target must be a path, or an http URL")
    authority, path = _split_url(rest)
    check_authority(authority, "target")
    return authority, path


def _split_url(rest: bytes) -> tuple[bytes, bytes]:
    slash, question = rest.find(b"/"), rest.find(b"?")
    if question >= 0 and (slash < 0 or question < slash):
        return rest[:question], b"/" + rest[question:]
    if slash < 0:
        return rest, b"/"
    return rest[:slash], rest[slash:]


def check_authority(authority: bytes, where: str) -> None:
    """Raise BadRequest when `authority` is not HOST or HOST:PORT."""
    if len(authority) > MAX_AUTHORITY or not _AUTHORITY.match(authority):
        raise BadRequest(f"{where} {authority[:80].decode('latin-1')!r} is not a host name with an optional port")
    port = authority.rpartition(b":")[2]
    if port.isdigit() and b":" in authority and not 0 < int(port) < 65536:
        raise BadRequest(f"{where} {authority.decode('latin-1')!r}: the port is not in 1..65535")


def check_incomplete(buffer: bytes, max_line: int, max_head: int) -> None:
    """Refuse early what can no longer become a good request head. Raises BadRequest."""
    line_end = buffer.find(b"\r\n")
    if (line_end if line_end >= 0 else len(buffer)) > max_line:
        raise BadRequest(f"the request line is longer than {max_line} bytes", status=414)
    if len(buffer) > max_line + max_head:
        raise BadRequest(f"the header section is longer than {max_head} bytes", status=431)
    bare = _BARE_LINE_END.search(buffer, 0, len(buffer) - 1)
    if bare is not None:
        raise BadRequest("a line of the request ends without CRLF")


def _unusual_request(head: bytes) -> tuple[bytes, bytes, int, list[bytes], dict[bytes, bytes]]:
    if _BARE_LINE_END.search(head):
        raise BadRequest("a line of the request ends without CRLF")
    if _FOLD.search(head):
        raise BadRequest("a header line is folded, or starts with white space")
    _check_request_line(head)
    machine = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head) + 1)
    try:
        machine.receive_data(head)
        event = machine.next_event()
    except h11.RemoteProtocolError as error:
        raise BadRequest(f"the request is not valid HTTP: {error}") from None
    if not isinstance(event, h11.Request):
        raise BadRequest("the request head is not complete")
    lines, special = _split_raw(event.headers.raw_items(), REQUEST_SPECIAL)
    return event.method, event.target, 11 if event.http_version == b"1.1" else 10, lines, special


def _check_request_line(head: bytes) -> None:
    found = _REQUEST_LINE.match(head)
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


def _unusual_response(head: bytes) -> tuple[int, bytes, int, list[bytes], dict[bytes, bytes]]:
    if _BARE_LINE_END.search(head):
        raise ResponseInvalid("a line of the response head ends without CRLF")
    if _FOLD.search(head):
        raise ResponseInvalid("a header line of the response is folded, or starts with white space")
    machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=len(head) + 1)
    machine.send(h11.Request(method=b"GET", target=b"/", headers=[(b"host", b"x")]))
    machine.send(h11.EndOfMessage())
    try:
        machine.receive_data(head)
        event = machine.next_event()
    except h11.RemoteProtocolError as error:
        raise ResponseInvalid(f"the response is not valid HTTP: {error}") from None
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        raise ResponseInvalid("the response head is not complete")
    if event.status_code > 599:
        raise ResponseInvalid(f"{event.status_code} is no status of HTTP")
    lines, special = _split_raw(event.headers.raw_items(), RESPONSE_SPECIAL)
    version = 11 if event.http_version == b"1.1" else 10
    return event.status_code, bytes(event.reason), version, lines, special


def _split_raw(items: list[tuple[bytes, bytes]], names: frozenset[bytes]) -> tuple[list[bytes], dict[bytes, bytes]]:
    block = b"".join(name + b": " + value + b"\r\n" for name, value in items)
    return _split_fields(block, names)
