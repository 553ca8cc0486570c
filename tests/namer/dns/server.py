"""A DNS server of the tests: real sockets on the loopback, and replies as the test writes them, byte by byte."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import trio

from namer.dns.settings import Server

Replies: TypeAlias = Callable[[bytes], Iterable[bytes]]


def response(query: bytes, *records: str, code: str = "NOERROR", authority: Iterable[str] = ()) -> bytes:
    """A well-made response with these records in it, as in `web. 60 IN A 10.0.0.1`."""
    message = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    message.set_rcode(dns.rcode.from_text(code))
    message.answer = [_rrset(record) for record in records]
    message.authority = [_rrset(record) for record in authority]
    return message.to_wire(max_size=65535)


def truncated(query: bytes) -> bytes:
    """A response that says that it did not fit."""
    message = dns.message.make_response(dns.message.from_wire(query))
    message.flags |= dns.flags.TC
    return message.to_wire()


def _rrset(record: str) -> dns.rrset.RRset:
    name, ttl, _, kind, data = record.split(" ", 4)
    return dns.rrset.from_text(name, int(ttl), "IN", kind, data)


@dataclass
class WireServer:
    """What it was asked by either protocol, and what it replies."""

    where: Server
    udp: Replies
    tcp: Replies
    asked: list[tuple[str, bytes]] = field(default_factory=list)

    async def serve_udp(self, socket: trio.socket.SocketType) -> None:
        while True:
            query, caller = await socket.recvfrom(65535)
            self.asked.append(("udp", query))
            for reply in self.udp(query):
                await socket.sendto(reply, caller)

    async def serve_tcp(self, stream: trio.SocketStream) -> None:
        async with stream:
            (length,) = struct.unpack("!H", await stream.receive_some(2))
            query = bytes(await stream.receive_some(length))
            self.asked.append(("tcp", query))
            for reply in self.tcp(query):
                await stream.send_all(struct.pack("!H", len(reply)) + reply)


def nothing(query: bytes) -> Iterable[bytes]:
    return ()


@asynccontextmanager
async def wire_server(udp: Replies, tcp: Replies = nothing) -> AsyncIterator[WireServer]:
    """It runs until the block ends."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as socket:
        await socket.bind(("127.0.0.1", port))
        server = WireServer(Server("127.0.0.1", port), udp, tcp)
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(server.serve_udp, socket)
            nursery.start_soon(trio.serve_listeners, server.serve_tcp, [listener])
            yield server
            nursery.cancel_scope.cancel()
