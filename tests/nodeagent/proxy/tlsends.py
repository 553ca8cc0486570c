"""Two ends of a connection through TLS, on loopback, and an issuer of certificates."""

from __future__ import annotations

import datetime
import pathlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import trio
import trustme

from nodeagent.proxy.errors import TlsFailed
from nodeagent.proxy.tlswire import TlsWire, start_tls
from tests.nodeagent.proxy.world import listen
from tls.contexts import client_context
from tls.params import PROTOCOLS, ContextParams, OwnCertificate

NAME = "users.example"
LARGE = bytes(range(256)) * 32 * 1024  # 8 MiB: more than all socket buffers
CUT = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Trust:
    """Who issues certificates in these tests, and what the files say."""

    ca: trustme.CA
    folder: pathlib.Path

    def client(self, *, own: OwnCertificate | None = None, protocols: tuple[str, ...] = PROTOCOLS) -> ssl.SSLContext:
        """A client that trusts this issuer alone."""
        file = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(file))
        return client_context(ContextParams(trust=(str(file),), certificate=own, protocols=protocols))

    def server(self, *names: str, expired: bool = False) -> ssl.SSLContext:
        """A server with a certificate for these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        until = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) if expired else None
        since = datetime.datetime(2019, 1, 1, tzinfo=datetime.UTC) if expired else None
        self.ca.issue_cert(*(names or (NAME,)), not_before=since, not_after=until).configure_cert(context)
        return context


async def connected() -> tuple[socket.socket, trio.SocketStream]:
    """Two ends of a connection on loopback."""
    with listen() as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    return client, trio.SocketStream(trio.socket.from_stdlib_socket(server))


@asynccontextmanager
async def handshaken(
    client: ssl.SSLContext, server: ssl.SSLContext, name: str | None = NAME
) -> AsyncIterator[tuple[TlsWire, trio.SSLStream[trio.SocketStream]]]:
    """A wire and the peer it speaks TLS with. Raises TlsFailed."""
    sock, transport = await connected()
    peer = trio.SSLStream(transport, server, server_side=True)

    async def answer() -> None:
        try:
            await peer.do_handshake()
        except trio.BrokenResourceError:
            with suppress(trio.BrokenResourceError):
                await transport.send_all(encrypted(peer))  # the alert, which SSLStream does not send
            await transport.aclose()

    async with transport:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer)
                wire = await start_tls(sock, client, name, "dial 10.0.0.7:443")
        except ExceptionGroup as failed:
            (error,) = failed.exceptions
            assert isinstance(error, TlsFailed), error
            raise error from None
        yield wire, peer
        wire.close()


def encrypted(stream: trio.SSLStream[trio.SocketStream]) -> bytes:
    """What a server's TLS has to say and did not send; SSLStream keeps session tickets for its first message."""
    tickets, stream._delayed_outgoing = stream._delayed_outgoing, None
    return (tickets or b"") + stream._outgoing.read()
