"""An agent made by hand for the admin pages to look at: real bindings and watches, no listener, no traffic."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import trio

import conf
from balancer.backoff import ConstantBackoff
from namer.addr import Endpoint
from namer.binding import Namers
from namer.builtin import builtin_namers
from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState
from namer.hosts import Hosts
from namer.path import Path
from namer.watch import Watches
from nodeagent.admin.app import admin_app
from nodeagent.admin.view import AgentView, IdentityView
from nodeagent.proxy.alarms import Alarms
from nodeagent.proxy.balance import ClientPolicy
from nodeagent.proxy.bind import Bindings, CacheLimits
from nodeagent.proxy.classify import make_classifier
from nodeagent.proxy.compose import Composer
from nodeagent.proxy.dial import Dialer
from nodeagent.proxy.permits import Permits
from nodeagent.proxy.service import ServicePolicy
from nodeagent.telemetry.exchange import Exchanges
from nodeagent.telemetry.levels import Levels
from nodeagent.telemetry.recent import Recent
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import ServerStats
from tests.namer.fakes import FakeNamer

CONFIG = """\
admin: {{port: 9990, security: {security}{more}}}
telemetry:
- {{kind: io.l5d.prometheus, path: /scrape-me}}
- {{kind: io.l5d.influxdb}}
namers:
- {{kind: io.l5d.fs, rootDir: disco}}
routers:
- protocol: http
  label: outgoing
  dtab: /svc => /#/io.l5d.fs
  servers: [{{port: 4140}}]
- protocol: http
  label: incoming
  dtab: /svc => /$/inet/127.0.0.1/8080
  servers: [{{port: 4141}}]
"""

MACHINE = "node-7.example.org"


@dataclass
class FakeListener:
    stats: ServerStats


@dataclass
class FakeRoute:
    bindings: Bindings
    permits: Permits | None = None
    prefix: Path = Path(("svc",))


@dataclass
class FakeRouter:
    label: str
    router: FakeRoute
    servers: list[FakeListener]


@dataclass
class FakeNaming:
    watches: Watches


class FakeAgent:
    """Knows `web` with two endpoints, and `slow`, which is never known. Make it within trio."""

    def __init__(self, security: str = "{}", admin: str = "") -> None:
        """`admin` has more keys of that section."""
        more = f", {admin}" if admin else ""
        self.config = conf.load(CONFIG.format(security=security, more=more), "agent.yaml")
        self.stats = Registry()
        self.levels = Levels()
        self.policy = ClientPolicy()
        self.naming = FakeNaming(Watches(random.Random(7)))
        self.namer = FakeNamer("/#/io.l5d.fs")
        self.namer.serve("web", Endpoint("127.0.0.1", 8081), Endpoint("127.0.0.1", 8082, weight=2.0))
        self.namer.cell("slow")
        builtin = builtin_namers(Hosts(self.naming.watches))
        self._namers = Namers([(self.namer.prefix, self.namer)], builtin)
        self.routers = tuple(
            self.router(router.label, a_table(router.dtab), router.servers[0].port) for router in self.config.routers
        )
        self.unready: str | None = None
        self.troubles: list[str] = []
        self.identity: IdentityView | None = None
        self.stopped = trio.Event()
        self.exchanges = Exchanges()
        self.recent: Recent | None = Recent(10)

    def to_epoch(self) -> float:
        return 1_700_000_000.0 - trio.current_time()

    def readiness(self) -> str | None:
        return self.unready

    def warnings(self) -> list[str]:
        return self.troubles

    def shutdown(self) -> None:
        self.stopped.set()

    def use(self, name: str) -> None:
        """Bind a name in the first router, as a request for it would."""
        self.routers[0].router.bindings.binding(Path.parse(name), None)

    def router(self, label: str, table: Cell[DtabState], port: int = 4140) -> FakeRouter:
        composer = Composer(
            label,
            client_policy=lambda id_: self.policy,
            service_policy=lambda name: ServicePolicy(
                make_classifier("io.l5d.http.nonRetryable5XX"), frozenset(), ConstantBackoff(0.0).delays
            ),
            dialer=Dialer(lambda endpoint: False),
            stats=self.stats,
            rng=random.Random(7),
            alarms=Alarms(),
        )
        bindings = Bindings(
            dtab=table,
            namers=self._namers,
            limits=CacheLimits(),
            timeout=1.0,
            make_client=composer.client,
            make_service=composer.service,
        )
        return FakeRouter(label, FakeRoute(bindings), [FakeListener(self.stats.server(label, "127.0.0.1", port))])


def a_table(dtab: Dtab) -> Cell[DtabState]:
    """A table that never changes."""
    table: DtabState = dtab
    return Cell.constant(table)


@asynccontextmanager
async def asking(agent: AgentView) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the admin pages of `agent`, without a socket."""
    transport = httpx.ASGITransport(admin_app(agent, MACHINE), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9990") as client:
        yield client
