"""Callers and files for listeners that speak TLS."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio

from tests.nodeagent.proxy.world import OK, Backend
from tests.nodeagent.running import Running, running
from tests.tls.authorities import Fleet
from tls.contexts import make_side
from tls.params import ContextParams, OwnCertificate

NAME = "web-1.example"


def now() -> datetime:
    """As the certificates of a test have it."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Files:
    """An authority, the files of a listener in `server`, and those of a caller in `client`."""

    fleet: Fleet
    folder: Path

    @staticmethod
    def made(folder: Path) -> Files:
        files = Files(Fleet.made(now()), folder)
        for name in ("server", "client"):
            (folder / name).mkdir()
        files.fleet.write(folder / "server", "web-1", now(), dns=(NAME,))
        files.fleet.write(folder / "client", "db-7", now())
        return files

    def keys(self, more: str = "requireClientAuth: true") -> str:
        """The section `tls` of a listener that asks who calls."""
        server = self.folder / "server"
        own = f"certPath: {server}/cert.pem, keyPath: {server}/key.pem, caCertPath: {server}/bundle.pem"
        return f"{{{own}, {more}}}" if more else f"{{{own}}}"

    def plain_keys(self, more: str = "") -> str:
        """The section of a listener that asks nobody."""
        server = self.folder / "server"
        return f"{{certPath: {server}/cert.pem, keyPath: {server}/key.pem{', ' if more else ''}{more}}}"

    def client(self, own: str | None = "client", protocols: tuple[str, ...] = ("TLSv1.2", "TLSv1.3")) -> ssl.SSLContext:
        """A caller that shows the certificate in a folder."""
        folder = None if own is None else self.folder / own
        certificate = None if folder is None else OwnCertificate(f"{folder}/cert.pem", f"{folder}/key.pem")
        trust = (f"{self.folder}/server/bundle.pem",)
        return make_side(ContextParams(trust=trust, certificate=certificate, protocols=protocols), now()).context

    def careless(self, own: str) -> ssl.SSLContext:
        """A caller that shows whatever is there, good or bad."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(f"{self.folder}/server/bundle.pem")
        context.load_cert_chain(f"{self.folder}/{own}/cert.pem", f"{self.folder}/{own}/key.pem")
        return context

    def write(self, name: str, fleet: Fleet | None = None, at: datetime | None = None, hours: int = 24) -> None:
        """Write the files of somebody else."""
        (self.folder / name).mkdir(exist_ok=True)
        (fleet or self.fleet).write(self.folder / name, name, at or now(), timedelta(hours=hours))


@asynccontextmanager
async def serving(
    tls: str, server: str = "", router: str = "", protocol: str = "http", backend: Backend | None = None
) -> AsyncIterator[World]:
    """An agent with one listener that speaks TLS, and a backend behind it."""
    backend = backend or Backend([OK])
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        routers = (
            f"- protocol: {protocol}\n  dtab: /svc/web => /$/inet/127.0.0.1/{backend.port}\n"
            f"  servers: [{{port: 0, tls: {tls}{server}}}]\n{router}"
        )
        async with running(routers) as agent:
            yield World(agent, backend, protocol)
        nursery.cancel_scope.cancel()


@dataclass
class World:
    """What runs."""

    running: Running
    backend: Backend
    protocol: str

    @property
    def port(self) -> int:
        return self.running.port(f"router {self.protocol}")

    async def call(self, context: ssl.SSLContext, name: str = NAME) -> trio.SSLStream[trio.SocketStream]:
        """Open a connection by TLS, with the handshake done. Raises trio.BrokenResourceError."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        secure = trio.SSLStream(stream, context, server_hostname=name, https_compatible=True)
        try:
            await secure.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return secure

    async def ask(self, context: ssl.SSLContext, fields: str = "", name: str = NAME) -> bytes:
        """Ask once, and return the head of the answer, b"" when there is none."""
        with trio.fail_after(10):
            try:
                stream = await self.call(context, name)
                async with stream:
                    await stream.send_all(f"GET / HTTP/1.1\r\nHost: web\r\n{fields}\r\n".encode())
                    return bytes(await stream.receive_some())
            except trio.BrokenResourceError:
                return b""

    async def failures(self) -> dict[str, float]:
        """What the metric says of handshakes that failed, by reason."""
        page = (await self.running.admin("/metrics")).body.decode()
        found = {}
        for line in page.splitlines():
            if line.startswith("nodeagent_server_tls_failures_total{"):
                labels, value = line.rsplit(" ", 1)
                found[labels.split('reason="')[1].split('"')[0]] = float(value)
        return found
