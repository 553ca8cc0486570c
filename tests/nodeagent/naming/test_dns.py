"""The DNS from configuration, and through a running agent with a real DNS server."""

from __future__ import annotations

import pathlib
import random
import signal
from collections import Counter
from contextlib import AbstractContextManager, ExitStack

import pytest
import trio

import conf
from conf.dns import Dns, DnsSrvNamer
from namer.dns.answers import Lifetimes
from namer.dns.settings import Overrides, Server
from namer.path import Path
from namer.watch import Watches
from nodeagent.naming.dns import DnsParts, lifetimes, overrides
from tests.namer.dns.real import needs, real_server
from tests.nodeagent.cli.processes import backend, fetch, ports, started

PREFIX = Path.parse("/#/srv")


def namer(refresh: int | None = None, hosts: tuple[str, ...] = ()) -> DnsSrvNamer:
    return DnsSrvNamer(prefix=Path(("srv",)), refresh_interval_seconds=refresh, dns_hosts=hosts)


def test_what_is_not_set_is_left_to_resolv_conf() -> None:
    assert overrides(Dns()) == Overrides()
    assert lifetimes(Dns()) == Lifetimes(1, 300, 30)


def test_what_is_set() -> None:
    dns = Dns(
        hosts=("10.0.0.2:8600",),
        search=("a.org",),
        ndots=0,
        timeout_ms=500,
        attempts=1,
        min_ttl_secs=2,
        max_ttl_secs=60,
        max_negative_ttl_secs=90,
    )
    assert overrides(dns) == Overrides((Server("10.0.0.2", 8600),), ("a.org",), 0, 0.5, 1)
    assert lifetimes(dns) == Lifetimes(2, 60, 60)


@pytest.mark.parametrize(
    ("own", "servers", "bounds"),
    [
        pytest.param(namer(), (Server("10.0.0.2"),), Lifetimes(5, 300, 30), id="none"),
        pytest.param(namer(hosts=("::1",)), (Server("::1"),), Lifetimes(5, 300, 30), id="servers"),
        pytest.param(namer(refresh=10), (Server("10.0.0.2"),), Lifetimes(5, 10, 10), id="an interval"),
        pytest.param(namer(refresh=2), (Server("10.0.0.2"),), Lifetimes(2, 2, 2), id="an interval below the floor"),
        pytest.param(namer(refresh=900), (Server("10.0.0.2"),), Lifetimes(5, 300, 30), id="one above the ceiling"),
    ],
)
def test_keys_of_a_namer(own: DnsSrvNamer, servers: tuple[Server, ...], bounds: Lifetimes) -> None:
    dns = Dns(hosts=("10.0.0.2",), min_ttl_secs=5)

    assert overrides(dns, own).servers == servers
    assert lifetimes(dns, own) == bounds


async def test_a_namer_with_servers_of_its_own_shares_no_answers() -> None:
    watches = Watches(random.Random(7))
    parts = DnsParts(Dns(), watches, random.Random(7))
    shared, own = parts.srv_namer(PREFIX, namer(), 0), parts.srv_namer(PREFIX, namer(hosts=("10.0.0.9",)), 1)

    assert shared._hosts is parts.hosts
    assert own._hosts is not parts.hosts
    cells = parts.hosts.addr("web", 80), own._hosts.addr("web", 80)
    assert [each.key.source for each in watches.statistics()] == ["dns", "dns/#/srv (2)"]
    assert cells[0] is not cells[1]


CONFIG = """
admin: {{port: 0}}
dns: {{hosts: ["{dns}"], search: [], timeoutMs: 500}}
namers: [{{kind: io.l5d.dnssrv}}]
routers:
- protocol: http
  servers: [{{port: 0}}]
  dtab: |
    /svc/users => /#/io.l5d.dnssrv/_http._tcp.users.example ;
    /svc/host => /$/inet/web.example/{port} ;
    /svc/gone => /$/inet/gone.example/80 | /#/io.l5d.dnssrv/_http._tcp.gone.example | /svc/host ;
"""


@pytest.mark.e2e
@needs("dnsmasq")
async def test_requests_go_where_the_dns_says(tmp_path: pathlib.Path) -> None:
    with ExitStack() as running:
        one, three, spare = (running.enter_context(_named(name)) for name in ("one", "three", "spare"))
        records = [
            "web.example. 60 A 127.0.0.1",
            f"_http._tcp.users.example. 60 SRV 10 1 {one} web.example.",
            f"_http._tcp.users.example. 60 SRV 10 3 {three} web.example.",
            f"_http._tcp.users.example. 60 SRV 20 9 {spare} web.example.",
        ]
        async with real_server("dnsmasq", tmp_path, records) as server:
            text = CONFIG.format(dns=server.where, port=one)
            assert conf.load(text, "l5d").dns.hosts == (str(server.where),)
            agent = running.enter_context(started("run", "-", stdin=text))
            found = await trio.to_thread.run_sync(ports, agent, 2)
            del found["admin"]
            (port,) = found.values()

            def ask(host: str) -> str:
                response, answer = fetch(port, host)
                return answer if response.status == 200 else f"{response.status} {answer}"

            answers = Counter(ask("users") for _ in range(1200))
            assert ask("host") == "one"
            assert ask("gone") == "one", "neither an unknown host nor an unknown service keeps the next from its turn"
            agent.signal(signal.SIGTERM)
            agent.end()

    assert set(answers) == {"one", "three"}, "a worse priority is for when the better one fails"
    assert 0.2 <= answers["one"] / 1200 <= 0.3


def _named(name: str) -> AbstractContextManager[int]:
    return backend(lambda request: (200, name))
