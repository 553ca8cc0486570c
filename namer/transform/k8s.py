"""Transformers for a cluster in which every node has an agent, as in linkerd 1.x.

    daemonset    instead of each endpoint, the agent on its node: what leads from agent to agent; or the endpoints as
                 they are, with a note of that agent
    localnode    only endpoints on the node of this agent

Which endpoints share a node is told by their addresses: each node has a /24 of its own (of IPv6 a /64, which the IP
allocation of Kubernetes gives a node). With `hostNetwork`, where a pod of the agent has the address of its node, it is
told by the names of the nodes, which the Kubernetes namer gives along.

While the agents are not known yet nothing can be sent to them, so the name is not known either; where they cannot be
found out, the name fails with that reason.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from namer.addr import Addr, AddrBound, AddrFailed, AddrPending, Endpoint
from namer.agents import NODE, node_of
from namer.cell import Cell
from namer.hosts import ip_literal
from namer.path import Path
from namer.transform.addresses import AddressTransformer, change_endpoints

PREFIX_LENGTH: Final = {4: 24, 6: 64}
"""Bits of an address that are those of its node, by version of IP."""

SameNode: TypeAlias = Callable[[Endpoint, Endpoint], bool]
Endpoints: TypeAlias = Sequence[Endpoint]
Through: TypeAlias = Callable[[Endpoints, Endpoints], Iterable[Endpoint]]


def daemonset(
    prefix: Path, agents: Cell[Addr], *, host_network: bool, keep_endpoints: bool = False
) -> AddressTransformer:
    """Instead of each endpoint the one of `agents` on its node; none where there is no agent.

    With `keep_endpoints` all of them stay, and those that have an agent on their node say so.
    """
    through = _beside if keep_endpoints else _instead
    return AddressTransformer(prefix, partial(_agents_of, partial(through, _same(host_network))), agents)


def localnode(prefix: Path, environ: Mapping[str, str], *, host_network: bool) -> AddressTransformer:
    """Only endpoints on the node that the environment names: by `NODE_NAME` with the host's network, else by `POD_IP`.

    Without that variable nothing can be told apart, so every name fails and says so.
    """
    variable = "NODE_NAME" if host_network else "POD_IP"
    value = environ.get(variable, "")
    if not value or not (host_network or ip_literal(value)):
        found = f"is {value!r}" if value else "is not set"
        return AddressTransformer(
            prefix, partial(_fails, f"io.l5d.k8s.localnode: the environment variable {variable} {found}")
        )
    here = Endpoint("", 0, meta=((NODE, value),)) if host_network else Endpoint(value, 0)
    return AddressTransformer(prefix + Path((value,)), partial(_only_beside, _same(host_network), here))


def same_subnet(one: Endpoint, other: Endpoint) -> bool:
    """Whether two endpoints are on one node, by their addresses."""
    return not one.is_unix and not other.is_unix and _network(one.host) == _network(other.host)


def same_node_name(one: Endpoint, other: Endpoint) -> bool:
    """Whether two endpoints are on one node, by its name; no if that is not known."""
    node = node_of(one)
    return node is not None and node == node_of(other)


def _same(host_network: bool) -> SameNode:
    return same_node_name if host_network else same_subnet


def _network(host: str) -> str:
    length = PREFIX_LENGTH[ipaddress.ip_address(host).version]
    return str(ipaddress.ip_network((host, length), strict=False))


def _agents_of(through: Through, addr: Addr, agents: Addr) -> Addr:
    match addr, agents:
        case AddrBound(endpoints), AddrBound(candidates):
            return AddrBound(tuple(through(endpoints, candidates)))
        case AddrBound(), AddrPending() | AddrFailed():
            return agents
        case AddrBound(endpoints), _:
            return AddrBound(tuple(through(endpoints, ())))
        case _:
            return addr


def _instead(same: SameNode, endpoints: Endpoints, agents: Endpoints) -> Iterator[Endpoint]:
    for agent in agents:
        if any(same(agent, each) for each in endpoints):
            yield replace(agent, agent=(agent.host, agent.port))


def _beside(same: SameNode, endpoints: Endpoints, agents: Endpoints) -> Iterator[Endpoint]:
    for each in endpoints:
        agent = next((agent for agent in agents if same(agent, each)), None)
        if agent is None:
            yield replace(each, agent=None)
        else:
            node = node_of(agent)
            told = each.meta if node is None or node_of(each) is not None else (*each.meta, (NODE, node))
            yield replace(each, meta=told, agent=(agent.host, agent.port))


def _only_beside(same: SameNode, here: Endpoint, addr: Addr) -> Addr:
    return change_endpoints(addr, lambda endpoints: (each for each in endpoints if same(here, each)))


def _fails(reason: str, addr: Addr) -> Addr:
    return AddrFailed(reason) if isinstance(addr, AddrBound) else addr
