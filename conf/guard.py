"""Where the agent may connect for names from outside."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated

from msgspec import Meta

from conf.fields import Reader, about
from conf.section import Section


def _range(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        pass
    try:
        whole = ip_network(text, strict=False)
    except ValueError:
        raise ValueError from None  # what is expected is said better by the reader
    raise ValueError(f"that begins in the middle of {whole}")


AddressRange = Annotated[
    str, Meta(extra={"reader": Reader("an IP address, or a range such as 10.0.0.0/8 or fd00::/8", _range)})
]
RemotePort = Annotated[int, Meta(ge=1, le=65535)]


class AddressGuard(Section, frozen=True):
    """Which addresses may be dialled for names that come from outside, judged by what they resolve to.

    A name comes from outside when the request spells out the host, as `http://anything.example/` does where the table
    ends in the DNS. What the table itself spells out, such as `/svc/web => /$/inet/127.0.0.1/8081`, is never judged.
    Refused by default are loopback, this host (`0.0.0.0/8`, `::`), link-local, multicast, broadcast and IPv6 unique
    local addresses, and the metadata services of Alibaba Cloud and Azure; private IPv4 is not. The answer is then 403.
    """

    enabled: Annotated[
        bool,
        about(
            "Judge addresses at all.",
            why="whoever can make a program ask for a URL would reach what listens on loopback, and the host's "
            "credentials",
            like="Smokescreen; linkerd 1.x: any address may be dialled",
        ),
    ] = True
    allow: Annotated[
        tuple[AddressRange, ...],
        about(
            "Addresses that may be dialled all the same. Of the entries of `allow` and `deny` that hold an address the "
            "narrowest counts, and `deny` of two that are equal.",
            why="what programs need there is best named in the table",
            like="Smokescreen: `--allow-range`",
        ),
    ] = ()
    deny: Annotated[
        tuple[AddressRange, ...],
        about(
            "Addresses that may not be dialled, besides those refused by default.",
            why="services live in private ranges",
            like="Smokescreen: `--deny-range`",
        ),
    ] = ()
    deny_ports: Annotated[
        tuple[RemotePort, ...],
        about(
            "Ports that may not be dialled, by a tunnel or otherwise.",
            why="25 takes mail from anybody (RFC 9110, section 9.3.6)",
            like="browsers refuse it too",
        ),
    ] = (25,)
    discovery: Annotated[
        bool,
        about(
            "Judge what namers find (files, DNS records, Consul, Kubernetes) by the same rules. Else only link-local "
            "addresses and the agent itself are refused, and only from Consul, Kubernetes and SRV records.",
            why="services on loopback are written into files and registered",
            like="none",
        ),
    ] = False
