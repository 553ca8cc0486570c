"""A real UDP socket hears what was counted; one that is not there costs nothing."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio

import conf
from conf.telemetry import Statsd
from namer.addr import Addr, AddrBound, AddrPending, Endpoint
from namer.cell import Cell
from nodeagent.agent import Agent
from nodeagent.push import StatsdPush
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.statsd import PACKET
from tests.nodeagent.proxy.world import OK, Backend, free_port
from tests.nodeagent.running import Running

pytestmark = pytest.mark.e2e

UNAVAILABLE = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
CONFIG = """
admin: {{port: 0}}
telemetry: [{{kind: io.l5d.statsd, hostname: localhost, port: {statsd}, gaugeIntervalMs: 100, sampleRate: 1}}]
routers:
- protocol: http
  label: out
  dtab: /svc/web => /$/inet/127.0.0.1/{backend}
  service: {{responseClassifier: {{kind: io.l5d.http.retryableRead5XX}}}}
  servers: [{{port: 0}}]
"""


class Sink:
    """A StatsD server that adds up."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = int(self.socket.getsockname()[1])
        self.counters: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
        self.timers: Counter[str] = Counter()
        self.longest = 0

    async def hear(self) -> None:
        """Take in one packet, within a time."""
        with trio.fail_after(10):
            await trio.lowlevel.wait_readable(self.socket)
        packet = self.socket.recv(65536)
        self.longest = max(self.longest, len(packet))
        for line in packet.decode().split("\n"):
            name, _, rest = line.partition(":")
            value, kind = rest.split("|")[:2]
            match kind:
                case "c":
                    self.counters[name] += int(value)
                case "g":
                    self.gauges[name] = float(value)
                case _:
                    self.timers[name] += 1

    async def hear_until(self, name: str, value: int) -> None:
        while self.counters[name] < value:
            await self.hear()


@pytest.fixture
def sink() -> Iterator[Sink]:
    heard = Sink()
    yield heard
    heard.socket.close()


@asynccontextmanager
async def agent(backend: Backend, statsd: int) -> AsyncIterator[Running]:
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        running = Agent(conf.load(CONFIG.format(statsd=statsd, backend=backend.port), "test"))
        yield Running(running, await nursery.start(running.run))
        nursery.cancel_scope.cancel()


async def test_what_callers_and_endpoints_saw_arrives_each_once(sink: Sink) -> None:
    service, client = "linkerd.rt.out.service.svc.web", "linkerd.rt.out.client._.inet.127_0_0_1"
    backend = Backend([UNAVAILABLE, UNAVAILABLE, OK])
    async with agent(backend, sink.port) as running:
        for _ in range(5):
            assert (await running.ask("router out", GET)).status == 200
        attempts = f"{client}.{backend.port}.requests"
        await sink.hear_until(attempts, 7)
        for _ in range(3):  # and nothing comes twice
            await sink.hear()

        assert len(backend.seen) == 7
        assert (sink.counters[f"{service}.requests"], sink.counters[f"{service}.success"]) == (5, 5)
        assert (sink.counters[attempts], sink.counters[f"{service}.retries.total"]) == (7, 2)
        assert (sink.timers[f"{service}.request_latency_ms"], sink.timers[attempts[:-8] + "request_latency_ms"]) == (
            5,
            7,
        )
        assert sink.gauges[f"{client}.{backend.port}.loadbalancer.available"] == 1
        assert sink.longest <= PACKET


async def test_a_sink_that_nobody_listens_on_changes_nothing() -> None:
    async with agent(Backend(), free_port()) as running:
        for _ in range(3):
            assert (await running.ask("router out", GET)).status == 200
            await trio.sleep(0.15)


async def test_what_is_counted_while_the_server_is_not_known_comes_with_the_first_round(sink: Sink) -> None:
    registry, addr = Registry(), Cell[Addr](AddrPending())

    async def read() -> Registry:
        return registry

    push = StatsdPush(Statsd(hostname="stats.test", gauge_interval_ms=100), read, addr)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(push.run)
        registry.namer("/#/io.l5d.fs").updates = 3
        await trio.sleep(0.25)
        assert addr.subscribers == 1, "it is followed"
        addr.set(AddrBound((Endpoint("127.0.0.1", sink.port),)), trio.current_time())
        await sink.hear_until("linkerd.namer._.io_l5d_fs.updates", 3)
        nursery.cancel_scope.cancel()

    assert sink.counters["linkerd.namer._.io_l5d_fs.updates"] == 3
    assert addr.subscribers == 0
