"""One question to one DNS server: by UDP, and by TCP when the answer does not fit. The only file with DNS sockets.

The socket is connected, so that the kernel drops what comes from elsewhere, and says when nobody listens. A datagram
that is not the response to this very question (id, question, a message at all) is as if it had never come: it does not
end the wait for the real one (RFC 5452, section 9). Port and id are random, by the kernel and by dnspython.

What it costs to read a message is known before dnspython reads it (`effort`): a hostile one is refused, and what takes
longer than a few milliseconds is read in a worker thread.

dnspython is imported here, in `effort` and in `reading` alone; it takes some 25 ms, so all wait until something is
asked.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

import dns.asyncbackend
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.rdatatype
import trio

from namer.dns.answers import Kind, Reply, ServerFailed
from namer.dns.effort import without_additional
from namer.dns.reading import read_reply
from namer.dns.settings import Server

MAX_MESSAGE: Final = 65535
SHORT: Final = 512  # bytes: as much as fits into a datagram (RFC 1035, section 4.2.1)
LITTLE_WORK: Final = 20_000  # some 4 ms; more is for a thread

_HEAD: Final = struct.Struct("!HHH")  # id, flags, how many questions
_RESPONSE: Final = 0x8000  # of the flags QR and opcode: to a query
_QR_AND_OPCODE: Final = 0xF800
_NONSENSE: Final = (dns.exception.DNSException, ValueError)  # what dnspython raises of bytes that are no message


async def ask(server: Server, name: str, kind: Kind, readers: trio.CapacityLimiter) -> Reply:
    """What the server says of a full name; `readers` are threads for long messages. Raises ServerFailed.

    It waits as long as it is let: put a deadline around it. Cancelling closes the socket.
    """
    query = dns.message.make_query(name, dns.rdatatype.from_text(kind))
    try:
        reply = await _by_udp(server, query, readers)
        return await _by_tcp(server, query, readers) if reply is None else reply
    except (OSError, EOFError, trio.BrokenResourceError, *_NONSENSE) as problem:
        raise ServerFailed(_in_words(problem)) from None


async def _by_udp(server: Server, query: dns.message.Message, readers: trio.CapacityLimiter) -> Reply | None:
    """None when the answer does not fit into a datagram."""
    async with await _connected(server, socket.SOCK_DGRAM) as sock:
        await sock.sendto(query.to_wire(), None, None)
        while True:
            data, _ = await sock.recvfrom(MAX_MESSAGE, None)
            head = _head_of_response(data, query)
            if head is None:
                continue
            if head.flags & dns.flags.TC:
                return None
            try:
                return await _read(data, readers)
            except _NONSENSE:
                pass


async def _by_tcp(server: Server, query: dns.message.Message, readers: trio.CapacityLimiter) -> Reply:
    received = bytearray()
    async with await _connected(server, socket.SOCK_STREAM) as sock:
        await sock.sendall(query.to_wire(prepend_length=True), None)
        while len(received) < 2 or len(received) - 2 < int.from_bytes(received[:2], "big"):
            more = await sock.recv(MAX_MESSAGE, None)
            if not more:
                raise EOFError
            received += more
    data = bytes(received[2 : 2 + int.from_bytes(received[:2], "big")])
    if _head_of_response(data, query) is None:
        raise ServerFailed("made no sense: it answers something else")
    return await _read(data, readers)


async def _connected(server: Server, kind: socket.SocketKind) -> Any:
    """A socket of dnspython, which gives them no types."""
    backend = dns.asyncbackend.get_backend("trio")
    family = dns.inet.af_for_address(server.address)
    place = (server.address, server.port)
    return await backend.make_socket(family, kind, 0, None, place)  # type: ignore[no-untyped-call]


def _head_of_response(data: bytes, query: dns.message.Message) -> dns.message.Message | None:
    """The header and the question, if they are those of a response to the query."""
    if len(data) < _HEAD.size:
        return None
    number, flags, questions = _HEAD.unpack_from(data)
    if number != query.id or flags & _QR_AND_OPCODE != _RESPONSE or questions > 1:
        return None
    try:
        head = dns.message.from_wire(data, question_only=True)
    except _NONSENSE:
        return None
    return head if query.is_response(head) else None


async def _read(data: bytes, readers: trio.CapacityLimiter) -> Reply:
    """Raises what `without_additional`, dnspython and `read_reply` raise. Cancelling leaves the thread to its end."""
    if len(data) <= SHORT:
        needed, work = without_additional(data)
        if work <= LITTLE_WORK:
            return read_reply(dns.message.from_wire(needed))
    return await trio.to_thread.run_sync(_read_long, data, limiter=readers, abandon_on_cancel=True)


def _read_long(data: bytes) -> Reply:
    needed, _ = without_additional(data)
    return read_reply(dns.message.from_wire(needed))


def _in_words(problem: Exception) -> str:
    match problem:
        case OSError(strerror=str(reason)):
            return reason.lower()
        case EOFError() | trio.BrokenResourceError():
            return "closed the connection"
        case _:
            return f"made no sense: {problem or type(problem).__name__}"
