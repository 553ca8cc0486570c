"""The DNS: how host names are resolved, and the names that SRV records stand for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from conf.fields import Count, Reader, about
from conf.namer import Namer
from conf.section import Section
from namer.dns.settings import MAX_ATTEMPTS, MAX_NDOTS, MAX_TIMEOUT, Server, is_name


def _server(text: str) -> str:
    try:
        return str(Server.parse(text))
    except ValueError:
        raise ValueError from None  # what is expected is said better by the reader


def _domain(text: str) -> str:
    if not is_name(text):
        raise ValueError
    return text.rstrip(".").lower()


DnsServer = Annotated[
    str,
    Meta(extra={"reader": Reader("an IP address, with or without a port: 10.0.0.2, 10.0.0.2:8600, [::1]:53", _server)}),
]
Domain = Annotated[str, Meta(extra={"reader": Reader("a domain such as svc.cluster.local", _domain)})]


class Dns(Section, frozen=True, kw_only=True):
    """How host names are resolved, wherever they stand: `/$/inet`, files, Consul, the targets of SRV records.

    `/etc/hosts` comes first. What is not set here is what `/etc/resolv.conf` says, now and when it changes.
    """

    hosts: Annotated[
        Annotated[tuple[DnsServer, ...], Meta(min_length=1)] | None,
        about(
            "DNS servers, in the order to ask them; the one that answered last is asked first.",
            why="the agent resolves as its host does",
            like="linkerd 1.x: `dnsHosts` of io.l5d.dnssrv",
            unset="the `nameserver` lines of resolv.conf, at most 3; without any 127.0.0.1",
        ),
    ] = None
    search: Annotated[
        tuple[Domain, ...] | None,
        about(
            "Domains in which a name is looked for.",
            why="the same",
            like="resolv.conf",
            unset="`search` of resolv.conf",
        ),
    ] = None
    ndots: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_NDOTS)] | None,
        about(
            "A name with so many dots is looked for as it is before it is in the domains of `search`, else after.",
            why="the same",
            like="resolv.conf",
            unset="`ndots` of resolv.conf, or 1",
        ),
    ] = None
    timeout_ms: Annotated[
        Annotated[int, Meta(ge=1, le=int(MAX_TIMEOUT * 1000))] | None,
        about(
            "How long one server is waited for; one question to all of them ends after 6 s.",
            why="a name that nobody answers for fails before `bindingTimeoutMs` is over",
            like="resolv.conf: 5 s",
            unset="`timeout` of resolv.conf, or 2000",
        ),
    ] = None
    attempts: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS)] | None,
        about(
            "Rounds through the servers.",
            why="the same",
            like="resolv.conf: 2",
            unset="`attempts` of resolv.conf, or 2",
        ),
    ] = None
    min_ttl_secs: Annotated[
        Count,
        about(
            "A TTL below this counts as this.",
            why="a TTL of 0 is not meant as a question for each of a thousand requests a second",
            like="Envoy: 5; dnsmasq: 0",
        ),
    ] = 1
    max_ttl_secs: Annotated[
        Count,
        about(
            "A TTL above this counts as this.",
            why="who publishes a day and moves the service all the same is noticed after five minutes",
            like="none; systemd-resolved: 2 h",
        ),
    ] = 300
    max_negative_ttl_secs: Annotated[
        Count,
        about(
            "That there is no such name holds for at most so long.",
            why="a service that is being deployed should not be missed for the hour that its zone says",
            like="RFC 2308: 1 to 3 h; CoreDNS in Kubernetes: 30",
        ),
    ] = 30
    max_stale_secs: Annotated[
        Count,
        about(
            "Last good addresses are used for so long after the DNS began to fail, then refused.",
            why="an address that nobody has confirmed for a day may be somebody else's",
            like="RFC 8767: 1 to 3 days",
        ),
    ] = 86400

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.min_ttl_secs > self.max_ttl_secs:
            yield "minTtlSecs", f"is above maxTtlSecs, which is {self.max_ttl_secs}"


class DnsSrvNamer(Namer, frozen=True, tag="io.l5d.dnssrv", kw_only=True):
    """Names by SRV records, with their ports, weights and priorities: `/_http._tcp.users.example.org`."""

    refresh_interval_seconds: Annotated[
        Count | None,
        about(
            "What is found holds no longer than this, whatever its TTL.",
            why="the TTL says when to ask again",
            like="linkerd 1.x: 5, whatever the TTL",
            unset="the TTL",
        ),
    ] = None
    dns_hosts: Annotated[
        tuple[DnsServer, ...],
        about("DNS servers for these names and the hosts they lead to.", unset="those of `dns`"),
    ] = ()
