"""Endpoints as registries write them, with host names in them: followed until they are addresses.

A file, a Consul service, an SRV record name a host, a port and what else they say of it. Each host is followed by
Hosts, so that a name in a registry is resolved again by its TTL; an IP literal costs no task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.agents import agent_port
from namer.cell import Cell
from namer.hosts import Hosts


@dataclass(frozen=True, slots=True)
class Target:
    """One entry: all addresses of `host`, which may be an IP literal. The rest as in Endpoint.

    The weight is that of each address, or of the host as a whole when it is `divided` among them (RFC 2782).
    """

    host: str
    port: int
    weight: float = 1.0
    meta: tuple[tuple[str, str], ...] = ()
    priority: int = 0
    divided: bool = False


class Targets:
    """Follows the hosts of the targets it was told last. Not told anything, it follows nothing."""

    def __init__(self, hosts: Hosts, changed: Callable[[], None]) -> None:
        """`changed` is called when the addresses of a host changed; it must not raise."""
        self._hosts = hosts
        self._changed = changed
        self._targets: tuple[Target, ...] = ()
        self._followed: dict[tuple[str, int], Cell[Addr]] = {}

    def follow(self, targets: Sequence[Target]) -> None:
        """Follow these instead of those before; hosts that stay are not asked anew."""
        left, self._followed = self._followed, {}
        self._targets = tuple(targets)
        for target in self._targets:
            place = (target.host, target.port)
            if place not in self._followed:
                self._followed[place] = left.pop(place) if place in left else self._begin(*place)
        for addr in left.values():
            addr.unsubscribe(self._changed)

    def _begin(self, host: str, port: int) -> Cell[Addr]:
        addr = self._hosts.addr(host, port)
        addr.subscribe(self._changed)
        return addr

    def close(self) -> None:
        """Follow nothing any more, and let go of whoever wanted to hear of it: it mostly holds this."""
        self.follow(())
        self._changed = _ignore

    def addr(self) -> Addr:
        """The addresses of all targets, by what is known of their hosts now."""
        return combine(self._targets, self._values())

    @property
    def pending(self) -> bool:
        """Whether it is not known yet of some host whether it has addresses."""
        return any(isinstance(addr.value, AddrPending) for addr in self._followed.values())

    def unresolved(self) -> list[str | None]:
        """For each target why its host has no address, None where it has or where that is not known yet."""
        return [_why(target.host, addr) for target, addr in zip(self._targets, self._values(), strict=True)]

    def _values(self) -> list[Addr]:
        return [self._followed[target.host, target.port].value for target in self._targets]


def combine(targets: Sequence[Target], addrs: Sequence[Addr]) -> Addr:
    """The address of a name, from its targets and what is known of the host of each.

    Whatever is known counts, even if the rest is not; nothing but unknown hosts is a name without endpoints. An
    endpoint that is there twice is taken as first met.
    """
    endpoints: dict[tuple[str, int], Endpoint] = {}
    for target, addr in zip(targets, addrs, strict=True):
        found = addr.endpoints if isinstance(addr, AddrBound) else ()
        for each in found:
            endpoints.setdefault((each.host, each.port), _endpoint(target, each, len(found)))
    if endpoints or not targets:
        return AddrBound(tuple(endpoints.values()))
    if any(isinstance(addr, AddrPending) for addr in addrs):
        return AddrPending()
    return next((addr for addr in addrs if isinstance(addr, AddrFailed)), AddrBound(()))


def _endpoint(target: Target, found: Endpoint, of: int) -> Endpoint:
    weight = target.weight / of if target.divided else target.weight
    meta = target.meta or found.meta
    port = agent_port(meta) if meta else None
    agent = None if port is None or found.is_unix else (found.host, port)
    return Endpoint(found.host, found.port, weight, meta, target.priority, agent)


def _why(host: str, addr: Addr) -> str | None:
    match addr:
        case AddrNeg():
            return f"unknown host {host}"
        case AddrFailed(reason):
            return reason
        case _:
            return None


def _ignore() -> None: ...
