"""How a request gets its logical name."""

from __future__ import annotations

from typing import Annotated, ClassVar

from conf.fields import Count, HeaderName, about
from conf.section import Kinded, not_here, not_yet
from namer.path import Path


class Identifier(Kinded, frozen=True):
    """Makes a logical name of a request; it stands behind the router's `dstPrefix`."""

    absent_kinds: ClassVar = {
        "io.l5d.ingress": not_yet("names from Kubernetes Ingress rules"),
        "io.l5d.k8s.istio": not_here("Istio's route rules"),
    }


class HeaderToken(Identifier, frozen=True, tag="io.l5d.header.token"):
    """The value of a header, as one label. `Host` is lower-cased and loses a default port."""

    header: Annotated[HeaderName, about("The header.")] = "Host"


class HeaderPath(Identifier, frozen=True, tag="io.l5d.header"):
    """The value of a header, which is a path itself."""

    header: Annotated[HeaderName, about("The header.")] = "l5d-name"


class UrlPathIdentifier(Identifier, frozen=True, tag="io.l5d.path"):
    """The first segments of the path of the URL."""

    segments: Annotated[Count, about("How many.")] = 1
    consume: Annotated[
        bool, about("Take them away before the request is sent on.", why="most backends know their own path")
    ] = False


class MethodAndHost(Identifier, frozen=True, tag="io.l5d.methodAndHost"):
    """`/1.1/GET/users`: version, method, host; for HTTP/1.0 without the host."""

    http_uri_in_dst: Annotated[
        bool, about("Append the path of the URL.", why="each URL would be a name with its own state")
    ] = False


class StaticIdentifier(Identifier, frozen=True, tag="io.l5d.static"):
    """The same name for every request."""

    path: Annotated[Path, about("The name.")]


AnyIdentifier = HeaderToken | HeaderPath | UrlPathIdentifier | MethodAndHost | StaticIdentifier
