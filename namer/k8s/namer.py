"""The namers `io.l5d.k8s` and `io.l5d.k8s.ns`: services of a Kubernetes cluster, live from its EndpointSlices.

    /<namespace>/<port>/<service>             io.l5d.k8s
    /<port>/<service>                         io.l5d.k8s.ns
    .../<service>/<value>                     with a label selector: only slices whose label has this value

The port is a name or a number, both as the Service has them. The service may name a subset of its endpoints, as in
`users;zone=eu-1a` (see namer/subset.py). What follows is the residual. Letters of either case are equal, as in linkerd
1.x, except in the value of the label.

No such service, no such port, and a service without any endpoint are Neg, as in linkerd. One list and watch serves all
names, ports and subsets of a service; the Service itself is read only where a name has the number of a port. What the
API server grants is in namer/k8s/reflector.py, who of the endpoints gets traffic in namer/k8s/slices.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending
from namer.agents import MAX_PORT
from namer.cell import Cell
from namer.k8s.live import Collections, Objects
from namer.k8s.objects import EndpointSlice, Service
from namer.k8s.reflector import Query
from namer.k8s.slices import (
    Candidates,
    PortMatch,
    Served,
    candidates_of,
    named_port,
    numbered_port,
    served,
    serves,
)
from namer.namer import PENDING, Bound, Failure, NameState, Provenance
from namer.nametree import NEG, Leaf
from namer.path import Path
from namer.report import Follower, Report
from namer.settle import subscribed
from namer.subset import Subset, split
from namer.watch import Cells, WatchKey

_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Asked:
    """A name, taken apart: `labels` of the path were used for it."""

    namespace: str
    port: str
    service: str
    subset: Subset | None
    value: str | None

    @property
    def port_number(self) -> int | None:
        """The port, if it is given by number."""
        return int(self.port) if self.port.isdecimal() else None


class KubernetesNamer:
    """Names by the services of a cluster, or of one namespace of it."""

    def __init__(
        self,
        prefix: Path,
        collections: Collections,
        watches: Cells,
        *,
        label: str | None = None,
        namespace: str | None = None,
    ) -> None:
        """`label` is the key of the label whose value is the last part of a name."""
        self._prefix = prefix
        self._collections = collections
        self._watches = watches
        self._label = label
        self._namespace = namespace

    def lookup(self, path: Path) -> Cell[NameState]:
        """Bound to the service that the first labels name, Neg while it has no endpoint."""
        plain = 3 if self._namespace is None else 2
        used = plain if self._label is None else plain + 1
        labels = (*map(str.lower, path.labels[:plain]), *path.labels[plain:used])
        asked = self._asked(labels) if len(labels) == used else None
        if asked is None:
            return Cell.constant(NEG)
        unknown: NameState = PENDING
        id_, residual = Path(labels), path[used:]
        feed = partial(self._feed_name, asked, id_, residual)
        return self._watches.cell(self._key("name", id_ + residual), unknown, feed)

    def addr(self, path: Path) -> Cell[Addr]:
        """The address of a name without residual: for those who want just that."""
        asked = self._asked(path.labels)
        return Cell.constant(AddrNeg()) if asked is None else self._addr(asked, path)

    def _addr(self, asked: Asked, id_: Path) -> Cell[Addr]:
        pending: Addr = AddrPending()
        return self._watches.cell(self._key("address", id_), pending, partial(self._feed_addr, asked))

    def _asked(self, labels: tuple[str, ...]) -> Asked | None:
        namespace, port, label = labels[:3] if self._namespace is None else (self._namespace, *labels[:2])
        service, subset = split(label)
        if not all(map(_DNS_LABEL.fullmatch, (namespace, port, service))):
            return None
        if port.isdecimal() and not 0 < int(port) <= MAX_PORT:
            return None
        value = None if self._label is None else labels[-1]
        if value is not None and not _LABEL_VALUE.fullmatch(value):
            return None
        return Asked(namespace, port, service, subset, value)

    def _key(self, what: str, path: Path) -> WatchKey:
        return WatchKey(self._prefix.show(), what, path.show())

    async def _feed_name(self, asked: Asked, id_: Path, residual: Path, cell: Cell[NameState]) -> None:
        bound = Leaf(Bound(self._prefix + id_, residual, self._addr(asked, id_), provenance=Provenance.REGISTRY))
        sources, follower = self._sources(asked), Follower(cell)

        def derive() -> None:
            match sources.serves():
                case Unknown(problem):
                    state: NameState = PENDING if problem is None else Failure(problem)
                case True:
                    state = bound
                case False:
                    state = NEG
            follower.tell(state, sources.decisive)

        with subscribed(sources.cells, derive):
            derive()
            await trio.sleep_forever()

    async def _feed_addr(self, asked: Asked, cell: Cell[Addr]) -> None:
        sources, follower = self._sources(asked), Follower(cell)

        def derive() -> None:
            found = sources.served()
            match found:
                case Unknown(problem):
                    addr: Addr = AddrPending() if problem is None else AddrFailed(problem)
                case Served(endpoints):
                    addr = AddrBound(endpoints)
                case _:
                    addr = AddrNeg()
            follower.tell(addr, sources.decisive, found.flaw if isinstance(found, Served) else None)

        with subscribed(sources.cells, derive):
            await sources.read_ahead()
            derive()
            await trio.sleep_forever()

    def _sources(self, asked: Asked) -> _Sources:
        service = None
        if asked.port_number is not None:
            service = self._collections.cell(
                "service", f"{asked.namespace}/{asked.service}", service_query(asked.namespace, asked.service)
            )
        selector = "" if asked.value is None else f"{self._label}={asked.value}"
        slices = self._collections.cell(
            "endpoint slices",
            "/".join(filter(None, (asked.namespace, asked.service, selector))),
            slices_query(asked.namespace, asked.service, selector),
        )
        return _Sources(asked, slices, service)


@dataclass(frozen=True, slots=True)
class Unknown:
    """The API server has not said yet, for this reason if it has failed to."""

    problem: str | None


@dataclass(frozen=True, slots=True)
class _Read:
    """A slice that was read, by the numbers of the Service."""

    slice: EndpointSlice
    service: Service | None
    candidates: Candidates | None


class _Sources:
    """What a name is computed from: the Service only where its port is a number.

    What the slices have of the port is kept, since a change is of one slice, and there may be a hundred.
    """

    def __init__(self, asked: Asked, slices: Objects[EndpointSlice], service: Objects[Service] | None) -> None:
        self._asked = asked
        self._slices = slices
        self._service = service
        self._read: dict[str, _Read] = {}

    @property
    def cells(self) -> tuple[Cell[Any], ...]:
        return (self._slices,) if self._service is None else (self._slices, self._service)

    @property
    def decisive(self) -> Cell[Report[Any]]:
        """The one that fails, or is not known yet; else any."""
        return min(self.cells, key=lambda cell: (cell.error is None, cell.value.answer is not None))

    def serves(self) -> Unknown | bool:
        """Whether anybody serves the name."""
        slices = self._answer()
        return slices if isinstance(slices, Unknown) else serves(slices, self._matches())

    def served(self) -> Unknown | Served | None:
        """Who serves the name, None when nobody does."""
        slices = self._answer()
        if isinstance(slices, Unknown):
            return slices
        self._read = {each.metadata.name: self._reading(each) for each in slices}
        found = [each.candidates for each in self._read.values()]
        return served(found, self._asked.service, self._asked.subset)

    async def read_ahead(self) -> None:
        """Read the slices that are known, with a turn for others after each. Cancelling is safe."""
        slices = self._answer()
        for each in () if isinstance(slices, Unknown) else slices:
            self._read[each.metadata.name] = self._reading(each)
            await trio.lowlevel.checkpoint()

    def _answer(self) -> Unknown | tuple[EndpointSlice, ...]:
        slices = self._slices.value.answer
        if slices is None or (self._service is not None and self._service.value.answer is None):
            return Unknown(self.decisive.error)
        return slices

    def _reading(self, each: EndpointSlice) -> _Read:
        known, service = self._read.get(each.metadata.name), self._named()
        if known is not None and known.slice is each and known.service is service:
            return known
        return _Read(each, service, candidates_of(each, self._matches()))

    def _named(self) -> Service | None:
        services = self._service.value.answer if self._service is not None else None
        return next((each for each in services or () if each.metadata.name == self._asked.service), None)

    def _matches(self) -> PortMatch:
        number = self._asked.port_number
        return named_port(self._asked.port) if number is None else numbered_port(number, self._named())


def slices_query(namespace: str, service: str, selector: str) -> Query[EndpointSlice]:
    """The slices of a service, of those that have another label if one is given (`key=value`)."""
    labels = f"kubernetes.io/service-name={service}"
    return Query(
        path=f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
        kind=EndpointSlice,
        selector=("labelSelector", f"{labels},{selector}" if selector else labels),
        need=f"list and watch endpointslices.discovery.k8s.io in the namespace {namespace}",
    )


def service_query(namespace: str, service: str) -> Query[Service]:
    """The Service of this name, as a collection of one or none."""
    return Query(
        path=f"/api/v1/namespaces/{namespace}/services",
        kind=Service,
        selector=("fieldSelector", f"metadata.name={service}"),
        need=f"list and watch services in the namespace {namespace}",
    )
