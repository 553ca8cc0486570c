"""Where the rules of a router come from, when they do not stand in the configuration: the stores of dtabs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from conf import consul
from conf.fields import Label, Text, about
from conf.kubeapi import ApiHost, ApiPort, ApiTls, ApiTokenFile, ConfigMapKey, KubernetesName, api_contradictions
from conf.section import Kinded
from namer.path import Path

MAX_BYTES: Final = 64 * 1024
"""Of a text, some six hundred rules: requests wait while one that has changed is read."""


class RuleStore(Kinded, frozen=True):
    """Has the rules as a text of YAML with the keys `default` and `rules` of the policy; it is followed.

    A version holds as a whole from the next request on. One with a fault is logged with its place, and the one before
    it stays. Until there is a good one, every request is refused with 503.
    """


class FileRules(RuleStore, frozen=True, tag="io.l5d.fs", kw_only=True):
    """The rules of a file; it is watched."""

    rules_file: Annotated[Text, about("The file; a relative path starts at the working directory.", like="none")]


class ConsulRules(RuleStore, frozen=True, tag="io.l5d.consul", kw_only=True):
    """The rules in Consul's key-value store, by the keys of `io.l5d.consul.interpreter`."""

    host: consul.Host = "localhost"
    port: consul.HttpPort = 8500
    path_prefix: Annotated[
        Path, about("What all keys begin with.", why="beside `namerd/dtabs`, which has tables", like="none")
    ] = Path(("nodeagent", "rules"))
    namespace: Annotated[Label, about("The last part of the key, `nodeagent/rules/default`.", like="none")] = "default"
    token: consul.Token = None
    token_file: consul.TokenFile = None
    datacenter: consul.StoreDatacenter = None
    read_consistency_mode: consul.Consistency = "default"
    tls: consul.Tls = None


class ConfigMapRules(RuleStore, frozen=True, tag="io.l5d.k8s.configMap", kw_only=True):
    """The rules in a Kubernetes ConfigMap, by the keys of the interpreter of the same kind."""

    name: Annotated[KubernetesName, about("The ConfigMap.")]
    filename: Annotated[ConfigMapKey, about("The key of the ConfigMap whose text is the rules.")]
    namespace: Annotated[KubernetesName, about("The namespace of the ConfigMap.")] = "default"
    host: ApiHost = None
    port: ApiPort = None
    tls: ApiTls = None
    token_file: ApiTokenFile = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from api_contradictions(self.host, self.tls, self.token_file, ("host", "tls", "tokenFile"))


AnyRuleStore = FileRules | ConsulRules | ConfigMapRules
