"""EndpointSlices to endpoints. Pure.

Who gets traffic is decided as kube-proxy does it (KEP-1669):

    ready                              yes; an unknown readiness counts as ready
    not ready                          no
    terminating, and still serving     no new traffic, unless no endpoint is ready at all
    terminating, not serving           no

Several slices of a service are merged; an endpoint that two of them have, as while one is moved, counts once. Of a dual
stack service the IPv4 endpoints are used, and the IPv6 ones where it has no other. Slices of host names (`FQDN`) are
passed over, since no controller of Kubernetes makes any. Of several addresses of one endpoint the first is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from namer.addr import Endpoint
from namer.agents import MAX_PORT, NODE
from namer.hosts import ip_literal
from namer.k8s.objects import Conditions, EndpointSlice, Service, SliceEndpoint, SlicePort
from namer.subset import Subset

PortMatch: TypeAlias = Callable[[SlicePort], bool]


@dataclass(frozen=True, slots=True)
class Served:
    """The endpoints of a port of a service, or of a subset of them; `flaw` says why a subset has none."""

    endpoints: tuple[Endpoint, ...]
    flaw: str | None = None


@dataclass(frozen=True, slots=True)
class _Candidate:
    endpoint: Endpoint
    conditions: Conditions


Candidates: TypeAlias = tuple[_Candidate, ...]


def candidates_of(each: EndpointSlice, matches: PortMatch) -> Candidates | None:
    """What a slice has of the port that matches; None when it does not have the port."""
    numbers = _numbers(each, matches)
    return tuple(_candidates(each, numbers)) if numbers else None


def serves(slices: Iterable[EndpointSlice], matches: PortMatch) -> bool:
    """Whether the port that matches has any endpoint, of whatever subset; that is found out soon."""
    found = (found for each in slices for found in _candidates(each, _numbers(each, matches)))
    return any(each.conditions.is_ready or each.conditions.is_leaving for each in found)


def served(slices: Iterable[Candidates | None], service: str, subset: Subset | None = None) -> Served | None:
    """The endpoints of a port, by what each slice of a service has of it; None when there is no such port.

    A service without slices has no ports: it does not exist, or nothing was ever selected for it.
    """
    having = [each for each in slices if each is not None]
    if not having:
        return None
    candidates = tuple(chain.from_iterable(having))
    everybody = _chosen(candidates)
    if subset is None:
        return Served(everybody)
    chosen = _chosen([each for each in candidates if subset.matches(each.endpoint.meta)])
    return Served(chosen, None if chosen else subset.nobody(service, len(everybody)))


def named_port(name: str) -> PortMatch:
    """The port of this name."""
    return lambda port: (port.name or "") == name


def numbered_port(number: int, service: Service | None) -> PortMatch:
    """The port that the Service has under this number, whatever its endpoints call it.

    Where the Service has none, as a headless one need not, it is the number that the endpoints themselves listen on.
    """
    ports = () if service is None else service.spec.ports or ()
    names = {port.name or "" for port in ports if port.port == number and _is_tcp(port.protocol)}
    if names:
        return lambda port: (port.name or "") in names
    return lambda port: port.port == number


def _numbers(each: EndpointSlice, matches: PortMatch) -> list[int]:
    """The numbers of the ports of a slice that match; none for host names."""
    if each.address_type not in ("IPv4", "IPv6"):
        return []
    ports = (port for port in each.ports or () if _is_tcp(port.protocol) and matches(port))
    return [port.port for port in ports if port.port is not None and 0 < port.port <= MAX_PORT]


def _is_tcp(protocol: str | None) -> bool:
    return (protocol or "TCP") == "TCP"


def _candidates(each: EndpointSlice, numbers: Sequence[int]) -> Iterator[_Candidate]:
    for found in each.endpoints or ():
        host = ip_literal(found.addresses[0]) if found.addresses else None
        if host is not None:
            meta = _meta(found)
            yield from (_Candidate(Endpoint(host, number, meta=meta), found.conditions) for number in numbers)


def _meta(found: SliceEndpoint) -> tuple[tuple[str, str], ...]:
    said = [(NODE, found.node_name or ""), ("zone", found.zone or "")]
    if found.target_ref is not None and found.target_ref.kind == "Pod":
        said.append(("pod", found.target_ref.name))
    if found.hints is not None:
        said.extend(("forZone", zone.name) for zone in found.hints.for_zones or ())
    return tuple(sorted((key, value) for key, value in said if value))


def _chosen(candidates: Sequence[_Candidate]) -> tuple[Endpoint, ...]:
    """The ready ones, or else those that are leaving and still serve; of one family, as IPv4 if it can be."""
    ready = _unique([each for each in candidates if each.conditions.is_ready])
    return _one_family(ready or _unique([each for each in candidates if each.conditions.is_leaving]))


def _unique(candidates: Sequence[_Candidate]) -> tuple[Endpoint, ...]:
    unique: dict[tuple[str, int], Endpoint] = {}
    for each in candidates:
        unique.setdefault((each.endpoint.host, each.endpoint.port), each.endpoint)
    return tuple(unique.values())


def _one_family(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    return tuple(each for each in endpoints if ":" not in each.host) or endpoints
