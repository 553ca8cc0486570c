"""What is done to bound names and their addresses after they were found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from conf.fields import Port, Text, about
from conf.kubeapi import ApiHost, ApiPort, ApiTls, ApiTokenFile, api_contradictions
from conf.section import Kinded
from namer.path import Path

_HostNetwork = Annotated[
    bool,
    about(
        "`true`: whether two endpoints are on one node is told by its name, as where agents use the host's network; "
        "`false`: by their addresses, of which a node has a /24 (of IPv6 a /64)."
    ),
]
_KeepEndpoints = Annotated[
    bool,
    about(
        "Endpoints stay as they are, and the agent is noted as the way to them, which `client.tls.agents` takes. So an "
        "endpoint without an agent stays, and can be called in plain where that is `opportunistic`.",
        why="as in linkerd 1.x, the agent is called in the place of the endpoint",
    ),
]
_BoundPath = Annotated[Path, about("The name, one of those under `/$/`, such as `/$/inet/127.0.0.1/4141`.")]


class Transformer(Kinded, frozen=True, kw_only=True):
    """Changes what names are bound to, in the order of the list.

    The id of what it has changed begins with `/%` and its prefix, as `/%/io.l5d.port/4141/#/io.l5d.fs/users`.
    """

    prefix: Annotated[
        Path | None,
        about("Stands between `/%` and the id that a name had.", unset="`/` and the kind, and for a port its number"),
    ] = None

    @property
    def id_prefix(self) -> Path:
        """The prefix, as given or by default."""
        return Path((self.kind,)) if self.prefix is None else self.prefix


class LocalhostTransformer(Transformer, frozen=True, tag="io.l5d.localhost", kw_only=True):
    """Only endpoints on this host."""


class SpecificHostTransformer(Transformer, frozen=True, tag="io.l5d.specificHost", kw_only=True):
    """Only endpoints on one host."""

    host: Annotated[Text, about("Its IP address or its name, which is resolved again and again.")]


class PortTransformer(Transformer, frozen=True, tag="io.l5d.port", kw_only=True):
    """The same hosts on another port, that of the agent there."""

    port: Annotated[Port, Meta(ge=1), about("The port.")]
    keep_endpoints: _KeepEndpoints = False

    @property
    def id_prefix(self) -> Path:
        return Path((self.kind, str(self.port))) if self.prefix is None else self.prefix


class ReplaceTransformer(Transformer, frozen=True, tag="io.l5d.replace", kw_only=True):
    """One name in the place of every name that is bound; what is not bound stays so."""

    path: _BoundPath

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from _unbound(self.path)


class ConstTransformer(Transformer, frozen=True, tag="io.l5d.const", kw_only=True):
    """One name in the place of every answer, even where there is no such name."""

    path: _BoundPath

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from _unbound(self.path)


class DaemonsetTransformer(Transformer, frozen=True, tag="io.l5d.k8s.daemonset", kw_only=True):
    """Instead of each endpoint, the agent on its node: those are a Service that selects the pods of a DaemonSet."""

    namespace: Annotated[Text, about("The namespace of that Service.")]
    port: Annotated[Text, about("The name or the number of its port that the agents listen on, in quotes.")]
    service: Annotated[Text, about("The Service.")]
    k8s_host: ApiHost = None
    k8s_port: ApiPort = None
    k8s_tls: ApiTls = None
    k8s_token_file: ApiTokenFile = None
    host_network: _HostNetwork = False
    keep_endpoints: _KeepEndpoints = False

    @property
    def id_prefix(self) -> Path:
        own = Path((self.kind, self.namespace, self.port, self.service))
        return own if self.prefix is None else self.prefix

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from api_contradictions(
            self.k8s_host, self.k8s_tls, self.k8s_token_file, ("k8sHost", "k8sTls", "k8sTokenFile")
        )


class LocalnodeTransformer(Transformer, frozen=True, tag="io.l5d.k8s.localnode", kw_only=True):
    """Only endpoints on the node of this agent, which the environment tells: `POD_IP`, or `NODE_NAME`."""

    host_network: _HostNetwork = False


def _unbound(path: Path) -> Iterator[tuple[str, str]]:
    if len(path) < 2 or path[0] != "$":
        yield "path", f"{path} is not under /$/; expected a name such as /$/inet/127.0.0.1/4141"
        return
    from random import Random  # here, since few configurations need the namers to be checked

    from namer.builtin import builtin_namers
    from namer.hosts import Hosts
    from namer.transform.names import Replace
    from namer.watch import Watches

    try:
        Replace(Path(), path, builtin_namers(Hosts(Watches(Random()))))
    except ValueError as error:
        yield "path", str(error)


AnyTransformer = (
    LocalhostTransformer
    | SpecificHostTransformer
    | PortTransformer
    | DaemonsetTransformer
    | LocalnodeTransformer
    | ReplaceTransformer
    | ConstTransformer
)
