"""Who resolves logical names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from conf import consul
from conf.fields import Label, Text, about
from conf.kubeapi import ApiHost, ApiPort, ApiTls, ApiTokenFile, ConfigMapKey, KubernetesName, api_contradictions
from conf.retries import AnyBackoff
from conf.section import Kinded, not_here
from conf.transformers import AnyTransformer
from namer.path import Path


class Interpreter(Kinded, frozen=True):
    """Resolves logical names to concrete ones."""

    default_kind: ClassVar = "default"
    absent_kinds: ClassVar = {
        "io.l5d.namerd": not_here("namerd, by Thrift"),
        "io.l5d.namerd.http": not_here("namerd, by HTTP"),
        "io.l5d.mesh": not_here("namerd, by gRPC"),
    }

    transformers: Annotated[
        tuple[AnyTransformer, ...], about("What is done to whatever names of this router are bound to, in this order.")
    ] = ()
    experimental: Annotated[bool, about("Accepted, never needed.")] = False


class DefaultInterpreter(Interpreter, frozen=True, tag="default"):
    """The router's dtab and the configured namers."""


class FsInterpreter(Interpreter, frozen=True, tag="io.l5d.fs", kw_only=True):
    """As the default, with the dtab of a file before the router's own; the file is watched."""

    dtab_file: Annotated[Text, about("The file; a relative path starts at the working directory.")]


class ConsulInterpreter(Interpreter, frozen=True, tag="io.l5d.consul.interpreter", kw_only=True):
    """As the default, with a dtab in Consul's key-value store before the router's own; it is followed."""

    host: consul.Host = "localhost"
    port: consul.HttpPort = 8500
    path_prefix: Annotated[Path, about("What all keys begin with.", why="namerd's")] = Path(("namerd", "dtabs"))
    namespace: Annotated[Label, about("The last part of the key, `namerd/dtabs/default`.")] = "default"
    token: consul.Token = None
    token_file: consul.TokenFile = None
    datacenter: consul.StoreDatacenter = None
    read_consistency_mode: consul.Consistency = "default"
    write_consistency_mode: consul.Consistency = "default"
    fail_fast: consul.FailFast = False
    backoff: Annotated[
        AnyBackoff | None,
        about("Accepted. Consul is asked again after 0.1 to 5 seconds, whatever it says.", unset="the same"),
    ] = None
    tls: consul.Tls = None


class ConfigMapInterpreter(Interpreter, frozen=True, tag="io.l5d.k8s.configMap", kw_only=True):
    """As the default, with a dtab in a Kubernetes ConfigMap before the router's own; it is followed."""

    name: Annotated[KubernetesName, about("The ConfigMap.")]
    filename: Annotated[ConfigMapKey, about("The key of the ConfigMap whose text is the dtab.")]
    namespace: Annotated[KubernetesName, about("The namespace of the ConfigMap.")] = "default"
    host: ApiHost = None
    port: ApiPort = None
    tls: ApiTls = None
    token_file: ApiTokenFile = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from api_contradictions(self.host, self.tls, self.token_file, ("host", "tls", "tokenFile"))


AnyInterpreter = DefaultInterpreter | FsInterpreter | ConsulInterpreter | ConfigMapInterpreter
