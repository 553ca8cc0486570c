"""Where the agent may connect: an address guard on what would be dialled, after resolution. Pure but for `is_own`.

A name that a request spells out (`http://anything.example/`, by a rule that ends in the DNS) may resolve to anything,
and to something else the next time. So its addresses are judged whenever they are found, and only those that pass
become endpoints: there is no connection, pooled or new, to any other. Addresses that the table spells out are their
author's choice and are not judged; whose word an address is, the binder says (namer.Provenance).

    request     refused: the agent's own ports, `denyPorts`, FORBIDDEN, and what the operator lists
    registry    refused: the agent's own ports, link-local addresses; with `discovery: true` as for a request
    file        with `discovery: true` as for a request
    table       not judged

Where a name may be called through agents only (`client.tls.agents: strict`), endpoints without one are refused whoever
says them.

That the agent calls itself the dialler refuses as well, whoever says so (dial.py).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, TypeAlias

from namer.addr import Addr, AddrBound, Endpoint, Refused
from namer.address import Address, embedded_ipv4, read_address
from namer.agents import NO_AGENT
from namer.cell import Cell
from namer.derived import Derived
from namer.http import is_status
from namer.inet import spelled_out
from namer.namer import Bound, Provenance
from namer.path import Path

Network: TypeAlias = IPv4Network | IPv6Network
Judge: TypeAlias = Callable[[Endpoint], Refused | None]

SMTP: Final = 25
"""The port that spam goes to: RFC 9110, section 9.3.6, names it for tunnels, and browsers do not speak HTTP to it."""

LINK_LOCAL: Final = tuple(
    (ip_network(network), "link-local, where hosts keep their metadata services")
    for network in ("169.254.0.0/16", "fe80::/10")
)

FORBIDDEN: Final = (
    *LINK_LOCAL,
    *(
        (ip_network(network), what)
        for network, what in (
            ("127.0.0.0/8", "loopback"),
            ("::1", "loopback"),
            ("0.0.0.0/8", "this host"),  # connecting to 0.0.0.0 reaches loopback
            ("::", "this host"),
            ("224.0.0.0/4", "multicast"),
            ("ff00::/8", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("fc00::/7", "unique local (RFC 4193), where AWS and Google Cloud have metadata services"),
            ("100.100.100.200", "the metadata service of Alibaba Cloud"),
            ("168.63.129.16", "the platform channel of Azure"),
        )
    ),
)
"""What names of requests may not lead to unless listed, with its name. Private IPv4 is not among it: services live
there."""


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """What the operator says.

    Of the entries of `allow` and `deny` that hold an address the narrowest counts, and `deny` of two that are equal;
    where there is none, FORBIDDEN does.
    """

    enabled: bool = True
    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    deny_ports: Container[int] = (SMTP,)
    discovery: bool = False


def nobody(endpoint: Endpoint) -> bool:  # noqa: ARG001
    """Tells that an endpoint is no port of the agent: for whoever has none."""
    return False


def no_name(id_: Path) -> bool:  # noqa: ARG001
    """Tells that no name is meant: for whoever has none."""
    return False


class Guard:
    """Judges the addresses of one router's bound names."""

    def __init__(
        self,
        policy: GuardPolicy,
        is_own: Callable[[Endpoint], bool] = nobody,
        is_admin: Callable[[Endpoint], bool] = nobody,
        agents_only: Callable[[Path], bool] = no_name,
    ) -> None:
        """`is_own` tells whether an endpoint is a listener of the router, `is_admin` whether it is the admin port.

        `agents_only` tells whether a concrete name may be called through agents only.
        """
        self._agents_only = agents_only
        self._is_own = is_own
        self._is_admin = is_admin
        self._judges: dict[Provenance, Judge] = {}
        self._ports = policy.deny_ports if policy.enabled else ()
        if policy.enabled:
            asked = _Ranges(policy, FORBIDDEN, "names that requests spell out")
            found = replace(asked, whom="names from discovery")
            listed = replace(found, policy=GuardPolicy(allow=policy.allow, deny_ports=()), forbidden=LINK_LOCAL)
            self._judges[Provenance.REQUEST] = asked.refusal
            self._judges[Provenance.REGISTRY] = found.refusal if policy.discovery else listed.refusal
            if policy.discovery:
                self._judges[Provenance.FILE] = found.refusal

    def guarded(self, bound: Bound) -> Bound:
        """The bound name with those of its addresses as endpoints that may be dialled, live as before."""
        if self._agents_only(bound.id) and not is_status(bound.id):
            bound = replace(bound, addr=Derived(_with_agents, bound.addr))
        judge = self._judges.get(bound.provenance)
        if judge is None:
            return bound
        if bound.provenance is Provenance.REQUEST and (spelled := spelled_out(bound.id)) is not None:
            host, port = spelled
            if port in self._ports:  # whatever the host is: the DNS is not even asked
                refused = Refused(Endpoint(host, port), _port_is_denied(port))
                return replace(bound, addr=Cell.constant(AddrBound((), (refused,))))
        return replace(bound, addr=Derived(partial(self._permitted, judge), bound.addr))

    def _permitted(self, judge: Judge, addr: Addr) -> Addr:
        if not isinstance(addr, AddrBound):
            return addr
        judged = [(endpoint, self._own(endpoint) or judge(endpoint)) for endpoint in addr.endpoints]
        refused = tuple(refusal for _, refusal in judged if refusal is not None)
        if not refused:
            return addr
        return AddrBound(tuple(each for each, refusal in judged if refusal is None), (*refused, *addr.refused))

    def _own(self, endpoint: Endpoint) -> Refused | None:
        if self._is_own(endpoint):
            return Refused(endpoint, "that is the agent itself", loop=True)
        return Refused(endpoint, "that is the admin port of the agent") if self._is_admin(endpoint) else None


AGENTLESS: Final = (
    f"{NO_AGENT}, and client.tls.agents is strict; discovery tells of one by agent=PORT, or a transformer does"
)


def _with_agents(addr: Addr) -> Addr:
    """Those of the endpoints that have an agent on their host."""
    if not isinstance(addr, AddrBound) or all(each.agent is not None for each in addr.endpoints):
        return addr
    refused = tuple(Refused(each, AGENTLESS, agentless=True) for each in addr.endpoints if each.agent is None)
    return AddrBound(tuple(each for each in addr.endpoints if each.agent is not None), (*addr.refused, *refused))


@dataclass(frozen=True, slots=True)
class _Ranges:
    """The rules for the names of `whom`, in words."""

    policy: GuardPolicy
    forbidden: Iterable[tuple[Network, str]]
    whom: str

    def refusal(self, endpoint: Endpoint) -> Refused | None:
        why = self._why(endpoint)
        return None if why is None else Refused(endpoint, why)

    def _why(self, endpoint: Endpoint) -> str | None:
        if endpoint.port in self.policy.deny_ports:
            return _port_is_denied(endpoint.port)
        address = read_address(endpoint.host)
        if address is None:
            return f"it is no IP address, and {self.whom} must not lead to anything else"
        forms = tuple(form for form in (address, embedded_ipv4(address)) if form is not None)
        denied, allowed = _narrowest(self.policy.deny, forms), _narrowest(self.policy.allow, forms)
        if denied is not None and (allowed is None or _width(denied) >= _width(allowed)):
            return f"addressGuard.deny lists {denied}"
        if allowed is not None:
            return None
        found = (each for each in self.forbidden if _holds(each[0], forms))
        for network, what in found:
            return f"{network} is {what}, and not for {self.whom}; addressGuard.allow can list the address"
        return None


def _port_is_denied(port: int) -> str:
    return f"addressGuard.denyPorts lists port {port}"


def _narrowest(networks: Iterable[Network], forms: tuple[Address, ...]) -> Network | None:
    return max((network for network in networks if _holds(network, forms)), key=_width, default=None)


def _holds(network: Network, forms: tuple[Address, ...]) -> bool:
    return any(form.version == network.version and form in network for form in forms)


def _width(network: Network) -> int:
    """How narrow a range is: the bits of its prefix, of IPv4 as if the range were IPv4-mapped."""
    return network.prefixlen + (96 if network.version == 4 else 0)
