"""Transformers of addresses: they leave a bound name some of its endpoints, or send it to others.

    localhost       only endpoints on this host
    specific_host   only endpoints on one host
    port            the same hosts on another port, that of the agent there; or the endpoints as they are, with a note
                    of that agent

The one that two agents in a row need is `port` on the way out and `localhost` on the way in (linkerd 1.x's
"linker-to-linker"). A name that is left without endpoints is bound to none, so that an alternative is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.cell import Cell
from namer.derived import Derived
from namer.hosts import Hosts
from namer.http import is_status
from namer.namer import Bound
from namer.nametree import Leaf, NameTree
from namer.path import Path
from namer.transform.local import ANY_PORT, is_local
from namer.transform.transformer import PREFIX, Unbound


class AddressTransformer:
    """Gives each bound name the addresses that `change` makes of its own.

    `change` is called with the name's Addr and those of `others`, whenever one of them changes. It must be pure.
    """

    def __init__(self, prefix: Path, change: Callable[..., Addr], *others: Cell[Addr]) -> None:
        """`prefix` stands between `/%` and the old id."""
        self._prefix = PREFIX + prefix
        self._change = change
        self._others = others

    def bound(self, bound: Bound) -> NameTree[Bound]:
        """The name with its new id and addresses; a fixed status has no addresses and stays as it is."""
        if is_status(bound.id):
            return Leaf(bound)
        addr = Derived(self._change, bound.addr, *self._others)
        return Leaf(replace(bound, id=self._prefix + bound.id, addr=addr))

    def unbound(self, tree: Unbound) -> NameTree[Bound]:
        """Nothing bound, nothing to change."""
        return tree


def localhost(prefix: Path) -> AddressTransformer:
    """Only endpoints on this host: on loopback, or on an address of one of its interfaces."""
    return AddressTransformer(prefix, lambda addr: change_endpoints(addr, _only_local))


def specific_host(prefix: Path, host: str, hosts: Hosts) -> AddressTransformer:
    """Only endpoints on `host`, an IP address or a host name that is followed."""
    return AddressTransformer(prefix, _only_on, hosts.addr(host, ANY_PORT))


def port(prefix: Path, number: int, *, keep_endpoints: bool = False) -> AddressTransformer:
    """The same hosts, each on this port, where an agent is; Unix sockets, which have none, as they are.

    With `keep_endpoints` all of them stay, and say that there is an agent on this port.
    """

    def noted(each: Endpoint) -> Endpoint:
        return each if each.is_unix else replace(each, agent=(each.host, number))

    def note(endpoints: Iterable[Endpoint]) -> Iterable[Endpoint]:
        return map(noted, endpoints)

    def move(endpoints: Iterable[Endpoint]) -> Iterable[Endpoint]:
        first_of_host: dict[str, Endpoint] = {}
        for each in endpoints:
            first_of_host.setdefault(each.host, each if each.is_unix else replace(noted(each), port=number))
        return first_of_host.values()

    change = note if keep_endpoints else move
    return AddressTransformer(prefix, lambda addr: change_endpoints(addr, change))


def change_endpoints(addr: Addr, change: Callable[[Iterable[Endpoint]], Iterable[Endpoint]]) -> Addr:
    """The same address with other endpoints; one without any stays what it is."""
    return AddrBound(tuple(change(addr.endpoints))) if isinstance(addr, AddrBound) else addr


def _only_local(endpoints: Iterable[Endpoint]) -> Iterable[Endpoint]:
    return (each for each in endpoints if each.is_unix or is_local(each.host))


def _only_on(addr: Addr, allowed: Addr) -> Addr:
    match allowed:
        case AddrPending() | AddrFailed():
            return allowed if isinstance(addr, AddrBound) else addr
        case AddrNeg():
            hosts: frozenset[str] = frozenset()
        case AddrBound(endpoints):
            hosts = frozenset(each.host for each in endpoints)
    return change_endpoints(addr, lambda endpoints: (each for each in endpoints if each.host in hosts))
