"""A cluster for tests: an API server, a namer that asks it, and short ways to say what pods there are."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import MockClock

from namer.addr import Addr, AddrBound, Endpoint
from namer.cell import Cell
from namer.k8s.api import Access, Api
from namer.k8s.live import Collections
from namer.k8s.namer import KubernetesNamer
from namer.namer import Bound, NameState
from namer.nametree import Leaf
from namer.path import Path
from tests.namer.fakes import Live, offload_inline, running
from tests.namer.k8s.apiserver import ApiServer

PREFIX = Path.parse("/#/io.l5d.k8s")
IDLE = 0.002
"""Real seconds of silence after which virtual time goes on. Both ends of each socket are in this loop, so what one has
sent the other can read at once."""


def patient(clock: MockClock) -> None:
    """Let virtual time wait for sockets."""
    clock.autojump_threshold = IDLE


def ignore() -> None:
    """Somebody who only wants a value to be live."""


def pod(host: str, **fields: Any) -> dict[str, Any]:
    """An endpoint of a slice; ready, unless its conditions are given."""
    return {"addresses": [host], "conditions": {"ready": True}, **fields}


def put_slice(
    server: ApiServer,
    *pods: str | dict[str, Any],
    name: str = "users-1",
    service: str = "users",
    family: str = "IPv4",
    port: tuple[str, int] = ("http", 80),
    **labels: str,
) -> None:
    """Create or replace a slice in the namespace `shop`."""
    server.put(
        "endpointslices",
        "shop",
        name,
        {"kubernetes.io/service-name": service, **labels},
        addressType=family,
        endpoints=[pod(each) if isinstance(each, str) else each for each in pods],
        ports=[{"name": port[0], "port": port[1], "protocol": "TCP"}],
    )


def put_service(server: ApiServer, name: str = "users", **ports: int) -> None:
    """Create or replace a Service in the namespace `shop`, with these ports by name."""
    server.put("services", "shop", name, spec={"ports": [{"name": port, "port": ports[port]} for port in ports]})


class Cluster:
    """An API server, and what of the agent asks it."""

    def __init__(self, live: Live, server: ApiServer, access: Access | None = None) -> None:
        self.live = live
        self.server = server
        self.rng = random.Random(7)
        self.api = Api(access or Access(f"http://127.0.0.1:{server.port}"), offload_inline)

    def namer(self, label: str | None = None, namespace: str | None = None) -> KubernetesNamer:
        """A namer of this cluster."""
        collections = Collections(PREFIX.show(), self.api, self.live.watches, self.rng)
        return KubernetesNamer(PREFIX, collections, self.live.watches, label=label, namespace=namespace)


class Name:
    """A name that is kept live, with its address."""

    def __init__(self, namer: KubernetesNamer, name: str) -> None:
        self.cell = namer.lookup(Path.parse(name))
        self.cell.subscribe(self._follow)
        self.addr: Cell[Addr] | None = None

    @property
    def state(self) -> NameState:
        return self.cell.value

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return self.addr.value.endpoints if self.addr and isinstance(self.addr.value, AddrBound) else ()

    def shown(self) -> list[str]:
        """Where requests would go."""
        return [each.show() for each in self.endpoints]

    def close(self) -> None:
        """Nobody wants it any more."""
        self.cell.unsubscribe(self._follow)
        if self.addr is not None:
            self.addr.unsubscribe(ignore)

    def _follow(self) -> None:
        if self.addr is None and isinstance(self.cell.value, Leaf) and isinstance(self.cell.value.value, Bound):
            self.addr = self.cell.value.value.addr
            self.addr.subscribe(ignore)


@asynccontextmanager
async def cluster(clock: MockClock, server: ApiServer | None = None) -> AsyncIterator[Cluster]:
    """A cluster whose API server runs, until the block ends."""
    patient(clock)
    server = server or ApiServer()
    async with running() as live, trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield Cluster(live, server)
        nursery.cancel_scope.cancel()
