"""The objects of the Kubernetes API that are read, with the fields that are used, and the frames they come in.

Sources: the API reference of discovery.k8s.io/v1 EndpointSlice, v1 Service and v1 ConfigMap; "Kubernetes API Concepts"
for lists, watches and bookmarks. Lists that Go leaves out may come as null. Unknown fields are passed over, so newer
servers are understood.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from namer.httpapi import ApiError


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """Of an object, or of a list: `resource_version` is then that of the whole list."""

    name: str = ""
    resource_version: str = ""


class Object(msgspec.Struct, frozen=True, rename="camel"):
    """What every object has; all there is in a bookmark."""

    metadata: Metadata = Metadata()


class Conditions(msgspec.Struct, frozen=True):
    """Of an endpoint; null is: ready if not known, serving as ready, not terminating."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it is to be given new connections."""
        return self.ready is not False

    @property
    def is_leaving(self) -> bool:
        """Whether it is being ended and still answers."""
        return bool(self.terminating) and (self.is_ready if self.serving is None else self.serving)


class Named(msgspec.Struct, frozen=True):
    """A reference to a pod, or a zone in a hint."""

    kind: str = ""
    name: str = ""


class Hints(msgspec.Struct, frozen=True, rename="camel"):
    """For which zones an endpoint is meant, by topology aware routing."""

    for_zones: tuple[Named, ...] | None = None


class SliceEndpoint(msgspec.Struct, frozen=True, rename="camel"):
    """One endpoint; all of its addresses lead to the same."""

    addresses: tuple[str, ...] = ()
    conditions: Conditions = Conditions()
    node_name: str | None = None
    zone: str | None = None
    target_ref: Named | None = None
    hints: Hints | None = None


class SlicePort(msgspec.Struct, frozen=True):
    """A port of all endpoints of a slice; `name` is that of the port of the Service."""

    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class EndpointSlice(Object, frozen=True, rename="camel"):
    """Some of the endpoints of a service: those of one address family that have the same ports."""

    address_type: str = ""
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[SlicePort, ...] | None = None


class ServicePort(msgspec.Struct, frozen=True):
    """A port under which a Service is known."""

    port: int
    name: str | None = None
    protocol: str | None = None


class ServiceSpec(msgspec.Struct, frozen=True):
    """What of a Service is of use."""

    ports: tuple[ServicePort, ...] | None = None


class Service(Object, frozen=True):
    """A Service: here, the names of its ports."""

    spec: ServiceSpec = ServiceSpec()


class ConfigMap(Object, frozen=True):
    """Texts under names."""

    data: dict[str, str] | None = None


T = TypeVar("T", bound=Object)
S = TypeVar("S", bound=msgspec.Struct)


class Page(msgspec.Struct, Generic[T], frozen=True):
    """The answer to a list."""

    items: tuple[T, ...] | None = None
    metadata: Metadata = Metadata()


class Event(msgspec.Struct, frozen=True):
    """A line of a watch."""

    type: str
    object: msgspec.Raw


class Status(msgspec.Struct, frozen=True):
    """What the API server says of a failure."""

    code: int = 0
    reason: str = ""
    message: str = ""


def decode(data: bytes | msgspec.Raw, kind: type[S], origin: str) -> S:
    """The JSON as a value of `kind`. Raises ApiError, which begins with `origin`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(f"{origin}: not what was asked for: {error}") from None
