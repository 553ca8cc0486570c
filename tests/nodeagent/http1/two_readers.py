"""The agent's reader beside h11: what they must see alike. For properties and for fuzzing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import h11

from nodeagent.http1.body import CHUNKED, UNTIL_CLOSE, ChunkedDecoder, request_framing, response_framing
from nodeagent.http1.head import connection_tokens, is_twin, parse_request, parse_response
from nodeagent.proxy.errors import BadRequest, ResponseInvalid
from nodeagent.proxy.messages import REQUEST_SPECIAL, RESPONSE_SPECIAL, RequestHead, lines_of

H11_REFUSES = re.compile(rb"[ \t];|(?i:content-length|transfer-encoding)")
"""Bad white space before an extension, which a recipient must take (RFC 9112, 7.1.1), and framing fields in trailers,
which the agent drops unread."""

FRAMES = frozenset((b"content-length", b"transfer-encoding"))

NEXT = b"GET /next HTTP/1.1\r\n"


def first_head(raw: bytes) -> bytes:
    """What a connection takes for the head."""
    raw += b"\r\n\r\n"
    return raw[: raw.index(b"\r\n\r\n") + 4]


def framed(framing: int) -> bytes:
    """A body by this framing."""
    return b"5\r\nhello\r\n0\r\n\r\n" if framing == CHUNKED else b"x" * max(framing, 0)


def read_on(machine: h11.Connection, data: bytes) -> tuple[bytes, bytes]:
    """Return the body that h11 sees in `data`, and what it sees behind it."""
    machine.receive_data(data)
    body = b""
    while not isinstance(event := machine.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data), event
        body += bytes(event.data)
    return body, machine.trailing_data[0]


def passing(fields: Sequence[tuple[bytes, bytes]], special: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """Of all fields, those that are nobody's business on the way."""
    connection = b", ".join(value for name, value in fields if name == b"connection")
    nominated = connection_tokens({b"connection": connection}) - {b"close", b"keep-alive"}
    return [(name, value) for name, value in fields if name not in special and name not in nominated]


def split(fields: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower(), value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines_of(fields))
    ]


def joined(fields: Sequence[tuple[bytes, bytes]], special: frozenset[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in special:
            value = value.lower() if name == b"transfer-encoding" else value  # as h11 writes it
            found[name] = found[name] + b", " + value if name in found else value
    return found


def target_of(head: RequestHead, target: bytes) -> bytes:
    """Write the target as it was asked for, from what was understood of it."""
    if head.method == b"CONNECT":
        return head.authority
    if b"://" not in target or target.startswith(b"/"):
        return head.path
    scheme = target[:7]
    rest = target[7 + len(head.authority) :]
    return scheme + head.authority + (head.path if rest.startswith(b"/") else head.path.lstrip(b"/*"))


def same_request(raw: bytes) -> None:
    """Hold that what the agent takes for a request is h11's, too, up to the first byte of the next one."""
    raw = first_head(raw)
    try:
        head = parse_request(raw)
        framing = request_framing(head)
    except BadRequest:
        return
    if framing > 10_000:
        return

    machine = h11.Connection(h11.SERVER, max_incomplete_event_size=len(raw) + 1)
    machine.receive_data(raw)
    event = machine.next_event()

    assert isinstance(event, h11.Request)
    version = 11 if event.http_version == b"1.1" else 10
    assert (event.method, event.target, version) == (head.method, target_of(head, event.target), head.version)
    fields = list(event.headers)
    kept = [field for field in passing(fields, REQUEST_SPECIAL) if not is_twin(field[0])]
    if head.method == b"TRACE":
        kept = [field for field in kept if field[0] not in (b"authorization", b"cookie")]
    assert split(head.fields) == kept
    special = joined(fields, REQUEST_SPECIAL)
    special.pop(b"host", None)
    assert joined(list(head.special.items()), REQUEST_SPECIAL) == special
    if head.method != b"CONNECT":
        assert read_on(machine, framed(framing) + NEXT)[1] == NEXT


def same_response(raw: bytes, method: bytes) -> None:
    """The same for the response to a request of this method."""
    raw = first_head(raw)
    try:
        head = parse_response(raw)
        framing = response_framing(method, head.status, head.version, head.special)
    except ResponseInvalid:
        return
    bodiless = method == b"HEAD" or head.status in (204, 304) or head.status < 200
    if bodiless and not FRAMES.isdisjoint(head.special):  # the agent ignores these, h11 judges them
        return
    if framing > 10_000 or head.status == 101:  # h11 wants to have asked for that
        return

    machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=len(raw) + 1)
    machine.send(h11.Request(method=method, target=b"/", headers=[(b"host", b"a")]))
    machine.send(h11.EndOfMessage())
    machine.receive_data(raw)
    event = machine.next_event()

    assert isinstance(event, h11.Response | h11.InformationalResponse)
    version = 11 if event.http_version == b"1.1" else 10
    assert (event.status_code, bytes(event.reason), version) == (head.status, head.reason, head.version)
    fields = list(event.headers)
    assert split(head.fields) == passing(fields, RESPONSE_SPECIAL)
    if head.status < 200:
        return
    assert joined(list(head.special.items()), RESPONSE_SPECIAL) == joined(fields, RESPONSE_SPECIAL)
    if framing == UNTIL_CLOSE:
        machine.receive_data(NEXT)
        event = machine.next_event()
        assert isinstance(event, h11.Data)
        assert event.data == NEXT
    else:
        assert read_on(machine, framed(framing) + NEXT)[1] == NEXT


def decode(pieces: Sequence[bytes]) -> tuple[bytes, bytes, bool] | None:
    """Return body, what is behind it, and whether it ended; None when it is refused."""
    decoder = ChunkedDecoder(BadRequest)
    body = rest = b""
    try:
        for piece in pieces:
            if decoder.done:
                rest += piece
            else:
                body += decoder.feed(piece)
    except BadRequest:
        return None
    return body, decoder.leftover() + rest, decoder.done


def same_chunks(coded: bytes, cuts: Sequence[int]) -> None:
    """The same for a chunked body, which also is the same however it is cut."""
    coded += NEXT
    edges = [0, *sorted(min(cut, len(coded)) for cut in cuts), len(coded)]

    whole = decode([coded])

    assert decode([coded[start:end] for start, end in pairwise(edges)]) == whole
    if whole is None or not whole[2] or H11_REFUSES.search(coded):
        return
    machine = h11.Connection(h11.SERVER)
    machine.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    machine.next_event()
    assert read_on(machine, coded) == whole[:2]
