"""One question to one DNS server: by UDP, and by TCP when the answer does not fit. The only file with DNS sockets.

The socket is connected, so that the kernel drops what comes from elsewhere, and says when nobody listens. A datagram
that is not the response to this very question (id, question, a message at all) is as if it had never come: it does not
end the wait for the real one (RFC 5452, section 9). Port and id are random, by the kernel and by dnspython.

dnspython is read here and in `reading` alone; it takes some 25 ms to import, so both wait until something is asked.
"""

from __future__ import annotations

import socket

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.inet
import dns.message
import dns.rdatatype

from namer.dns.answers import Kind, Reply, ServerFailed
from namer.dns.reading import read_reply
from namer.dns.settings import Server


async def ask(server: Server, name: str, kind: Kind) -> Reply:
    """What the server says of a full name. Raises ServerFailed.

    It waits as long as it is let: put a deadline around it. Cancelling closes the socket.
    """
    query = dns.message.make_query(name, dns.rdatatype.from_text(kind))
    try:
        return read_reply(await _exchange(server, query))
    except (OSError, EOFError, dns.exception.DNSException, ValueError) as problem:
        raise ServerFailed(_in_words(problem)) from None


async def _exchange(server: Server, query: dns.message.Message) -> dns.message.Message:
    backend = dns.asyncbackend.get_backend("trio")
    place = (server.address, server.port)
    family = dns.inet.af_for_address(server.address)
    connected = await backend.make_socket(family, socket.SOCK_DGRAM, 0, None, place)  # type: ignore[no-untyped-call]
    async with connected as sock:
        try:
            return await dns.asyncquery.udp(
                query,
                server.address,
                port=server.port,
                sock=sock,
                ignore_unexpected=True,
                ignore_errors=True,
                raise_on_truncation=True,
            )
        except dns.message.Truncated:
            pass
    return await dns.asyncquery.tcp(query, server.address, port=server.port, backend=backend)


def _in_words(problem: Exception) -> str:
    match problem:
        case OSError(strerror=str(reason)):
            return reason.lower()
        case EOFError():
            return "closed the connection"
        case _:
            return f"made no sense: {problem or type(problem).__name__}"
