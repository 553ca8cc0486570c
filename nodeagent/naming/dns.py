"""The DNS from configuration: who is asked, and how long answers hold."""

from __future__ import annotations

import random

from conf.dns import Dns, DnsSrvNamer
from namer.dns import srv
from namer.dns.answers import Lifetimes
from namer.dns.resolver import Resolver
from namer.dns.settings import Overrides, Server
from namer.hosts import SOURCE, Hosts
from namer.path import Path
from namer.staleness import StaleLimit
from namer.watch import Twin, Watches, twin_source


class DnsParts:
    """The resolver that all namers share, and the live hosts that it finds."""

    def __init__(self, config: Dns, watches: Watches, rng: random.Random) -> None:
        self._config = config
        self._watches = watches
        self._rng = rng
        self.resolver = Resolver(overrides(config), lifetimes(config))
        self.hosts = self._hosts(SOURCE, self.resolver)

    def srv_namer(self, prefix: Path, config: DnsSrvNamer, number: int) -> srv.DnsSrvNamer:
        """A namer by SRV records; with servers or an interval of its own it has a resolver of its own.

        `number` tells it from others with its prefix.
        """
        resolver, hosts = self.resolver, self.hosts
        if config.dns_hosts or config.refresh_interval_seconds is not None:
            resolver = Resolver(overrides(self._config, config), lifetimes(self._config, config))
            hosts = self._hosts(twin_source(f"{SOURCE}{prefix}", number), resolver)
        cells = Twin(self._watches, number) if number else self._watches
        return srv.DnsSrvNamer(prefix, cells, resolver, hosts, self._rng)

    def _hosts(self, source: str, resolver: Resolver) -> Hosts:
        self._watches.limit(source, StaleLimit(self._config.max_stale_secs, refuse=True))
        return Hosts(self._watches, resolver, self._rng, source=source)


def overrides(dns: Dns, namer: DnsSrvNamer | None = None) -> Overrides:
    """What the keys say in place of resolv.conf."""
    servers = (namer.dns_hosts if namer else ()) or dns.hosts
    return Overrides(
        servers=None if servers is None else tuple(map(Server.parse, servers)),
        search=dns.search,
        ndots=dns.ndots,
        timeout=None if dns.timeout_ms is None else dns.timeout_ms / 1000,
        attempts=dns.attempts,
    )


def lifetimes(dns: Dns, namer: DnsSrvNamer | None = None) -> Lifetimes:
    """The bounds of a TTL; the interval of a namer is the highest of them."""
    interval = namer.refresh_interval_seconds if namer else None
    ceiling = min(dns.max_ttl_secs, interval or dns.max_ttl_secs)
    return Lifetimes(min(dns.min_ttl_secs, ceiling), ceiling, min(dns.max_negative_ttl_secs, ceiling))
