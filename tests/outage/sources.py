"""Sources of names that run for real, are killed, and come back with another answer."""

from __future__ import annotations

import pathlib
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import pytest
import trio

from tests.namer.consul.real import RealConsul, needs_consul, real_consul
from tests.namer.dns.real import RealServer, needs, real_server, update
from tests.namer.k8s.apiserver import ApiServer
from tests.namer.k8s.world import put_slice


class Source(Protocol):
    """Knows one service; `namer` and `dtab` are what leads an agent to it, in YAML, and `host` is what it is called."""

    host: str
    dtab: str

    @property
    def namer(self) -> str: ...

    async def kill(self) -> None:
        """It is gone, as by kill -9."""

    async def come_back(self, port: int) -> None:
        """It is there again, and says that the service is on another port now."""


Start = Callable[[pathlib.Path, int], AbstractAsyncContextManager[Source]]


@dataclass
class Consul:
    """One whose data is in memory: it comes back with an index that has gone backwards."""

    server: RealConsul
    host: str = "users"
    dtab: str = "/svc => /#/io.l5d.consul/.local"

    @property
    def namer(self) -> str:
        return f"{{kind: io.l5d.consul, host: 127.0.0.1, port: {self.server.port}}}"

    async def kill(self) -> None:
        self.server.signal(signal.SIGKILL)

    async def come_back(self, port: int) -> None:
        await trio.to_thread.run_sync(self.server.start)
        self.server.register("users", port, "users-1")


@asynccontextmanager
async def consul(directory: pathlib.Path, port: int) -> AsyncIterator[Source]:
    """A Consul that runs until the end of the block."""
    with real_consul() as server:
        server.register("users", port, "users-1")
        yield Consul(server)


@dataclass
class Bind:
    """BIND, with an SRV record."""

    server: RealServer
    host: str = "users.example"
    dtab: str = "/svc => /#/io.l5d.dnssrv"

    @property
    def namer(self) -> str:
        return f"{{kind: io.l5d.dnssrv, dnsHosts: ['{self.server.where}']}}"

    async def kill(self) -> None:
        self.server.kill()

    async def come_back(self, port: int) -> None:
        await self.server.start()
        change = f"update add users.example 1 SRV 1 1 {port} host.example."
        await trio.to_thread.run_sync(update, self.server, "update delete users.example SRV", change)


@asynccontextmanager
async def dns(directory: pathlib.Path, port: int) -> AsyncIterator[Source]:
    """A DNS server that runs until the end of the block."""
    hosts = ("web.example. 2 A 10.0.0.1", "host.example. 1 A 127.0.0.1")
    async with real_server("named", directory, (*hosts, f"users.example. 1 SRV 1 1 {port} host.example.")) as server:
        yield Bind(server)


@dataclass
class Kubernetes:
    """The API server of these tests, because no real one can be had as a package. It comes back without the history
    that a watch could go on from."""

    server: ApiServer
    nursery: trio.Nursery
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    host: str = "users"
    dtab: str = "/svc => /#/io.l5d.k8s/shop/http"

    @property
    def namer(self) -> str:
        return f"{{kind: io.l5d.k8s, host: 127.0.0.1, port: {self.server.port}}}"

    async def start(self, port: int) -> None:
        """Serve, and say where the service is."""
        put_slice(self.server, "127.0.0.1", port=("http", port))
        await self.nursery.start(self._run)

    async def kill(self) -> None:
        self.scope.cancel()

    async def come_back(self, port: int) -> None:
        self.server.compact()
        await self.start(port)

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope() as self.scope:
            await self.server.run(task_status=task_status)


@asynccontextmanager
async def kubernetes(directory: pathlib.Path, port: int) -> AsyncIterator[Source]:
    """An API server that runs until the end of the block."""
    async with trio.open_nursery() as nursery:
        source = Kubernetes(ApiServer(), nursery)
        await source.start(port)
        yield source
        nursery.cancel_scope.cancel()


SOURCES = [
    pytest.param(consul, id="Consul", marks=needs_consul),
    pytest.param(dns, id="DNS", marks=needs("named", "nsupdate")),
    pytest.param(kubernetes, id="Kubernetes"),
]
