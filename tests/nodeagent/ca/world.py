"""An authority that serves on loopback, and hosts that ask it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import trio

from nodeagent.ca.client import join
from nodeagent.ca.membership import Membership
from nodeagent.ca.serve import serve
from nodeagent.ca.server import CaLimits
from nodeagent.ca.store import Store
from nodeagent.ca.tokens import Token
from nodeagent.listen import listen
from tests.tls.authorities import DOMAIN
from tls.authority import LEAF_LIFETIME
from tls.identity import SpiffeId
from tls.request import Permit, authority_name

PLENTY = CaLimits(burst=1000)
"""No story but that of the rates is about them."""


def now() -> datetime:
    """By the clock that OpenSSL has too."""
    return datetime.now(UTC)


@dataclass
class Served:
    """An authority, where it serves, and a place for what hosts get."""

    folder: Path
    address: str
    hosts: Path

    @property
    def store(self) -> Store:
        """Its directory, as another process sees it."""
        return Store(self.folder)

    def token(self, name: str = "web-1", *, dns: tuple[str, ...] = (), ttl: timedelta = timedelta(hours=1)) -> Token:
        """A token for a host."""
        store = self.store
        permit = Permit(SpiffeId.host(DOMAIN, name), dns)
        return store.tokens.create(permit, store.roots[-1].certificate, now() + ttl)

    async def joined(self, name: str = "web-1", *, dns: tuple[str, ...] = ()) -> Membership:
        """A host that has joined."""
        return await join(self.address, self.token(name, dns=dns), self.hosts / name)

    def context(self) -> ssl.SSLContext:
        """A client that verifies the authority, and shows no certificate."""
        return ssl.create_default_context(cafile=str(self.folder / "bundle.pem"))

    async def said(self, request: bytes, context: ssl.SSLContext | None = None) -> bytes:
        """What it says to these bytes of HTTP, until it closes."""
        stream = await trio.open_tcp_stream(*self.where)
        context = context or self.context()
        return await said(
            trio.SSLStream(stream, context, server_hostname=authority_name(DOMAIN), https_compatible=True), request
        )

    @property
    def where(self) -> tuple[str, int]:
        """The address in two."""
        host, _, port = self.address.rpartition(":")
        return host, int(port)

    def files(self, kind: str) -> int:
        """How many tokens there are of a kind, `token` or `used`."""
        return len(list((self.folder / "tokens").glob(f"*.{kind}")))


async def said(stream: trio.SSLStream[trio.SocketStream], request: bytes) -> bytes:
    """What a server says to these bytes, until it closes."""
    async with stream:
        await stream.send_all(request)
        return b"".join([bytes(chunk) async for chunk in stream])


@asynccontextmanager
async def authority(
    tmp_path: Path, *, limits: CaLimits = PLENTY, lifetime: timedelta = LEAF_LIFETIME, port: int = 0
) -> AsyncIterator[Served]:
    """One that serves; what is in its directory stays."""
    folder = tmp_path / "ca"
    if not folder.exists():
        Store.init(folder, DOMAIN, now())
    sock = listen("ca", "127.0.0.1", port)
    address = f"127.0.0.1:{sock.getsockname()[1]}"
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, folder, sock, limits=limits, lifetime=lifetime))
        with trio.fail_after(30):
            yield Served(folder, address, tmp_path)
        nursery.cancel_scope.cancel()
