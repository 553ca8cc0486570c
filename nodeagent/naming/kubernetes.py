"""What speaks with the Kubernetes API, built from configuration."""

from __future__ import annotations

import os
import random
from functools import partial
from typing import TypeVar

from conf.interpreters import ConfigMapInterpreter
from conf.kubernetes import KubernetesNamer, KubernetesNamespaceNamer
from conf.rulestores import ConfigMapRules
from conf.tls import ApiTlsKeys
from conf.transformers import DaemonsetTransformer, LocalnodeTransformer
from namer.cell import Cell
from namer.document import Document, Followed
from namer.dtab import Dtab
from namer.dtabcell import DtabState
from namer.files import Offload
from namer.k8s import namer
from namer.k8s.api import Access, Api, ServiceAccount, api_url, service_account
from namer.k8s.configmap import ConfigMapDtabStore, ConfigMapPlace, config_map_document, config_map_dtab
from namer.k8s.live import Collections
from namer.namer import ConstantNamer, Failure, Namer
from namer.path import Path
from namer.transform import k8s
from namer.transform.transformer import Transformer
from namer.watch import Cells, Watches
from nodeagent.policies import client_tls
from tls.contexts import client_context
from tls.params import ContextParams

T = TypeVar("T")

PROXY_HOST = "localhost"
PROXY_PORT = 8001
"""Where `kubectl proxy` listens."""


def kubernetes_namer(
    prefix: Path, config: KubernetesNamer, cells: Cells, offload: Offload, rng: random.Random
) -> Namer:
    """The namer of a section."""
    namespace = None
    if isinstance(config, KubernetesNamespaceNamer):
        namespace = os.environ.get(config.env_var, "")
        if not namespace:
            reason = f"{config.kind}: the environment variable {config.env_var}, which names the namespace, is not set"
            return ConstantNamer(Failure(reason, lasting=True))
    api = _api(config.host, config.port, config.tls, config.token_file, offload)
    collections = Collections(prefix.show(), api, cells, rng)
    return namer.KubernetesNamer(prefix, collections, cells, label=config.label_selector, namespace=namespace)


def daemonset(config: DaemonsetTransformer, watches: Watches, offload: Offload, rng: random.Random) -> Transformer:
    """The transformer of a section, which follows the agents of all nodes."""
    api = _api(config.k8s_host, config.k8s_port, config.k8s_tls, config.k8s_token_file, offload)
    source = Path((config.kind, api.url))
    followed = namer.KubernetesNamer(source, Collections(source.show(), api, watches, rng), watches)
    agents = followed.addr(Path((config.namespace, config.port, config.service)))
    keep = config.keep_endpoints
    return k8s.daemonset(config.id_prefix, agents, host_network=config.host_network, keep_endpoints=keep)


def localnode(config: LocalnodeTransformer) -> Transformer:
    """The transformer of a section."""
    return k8s.localnode(config.id_prefix, os.environ, host_network=config.host_network)


def interpreter_dtab(
    config: ConfigMapInterpreter, behind: Dtab, watches: Watches, offload: Offload, rng: random.Random
) -> Cell[DtabState]:
    """The table of an interpreter with `behind` after it."""
    return config_map_dtab(_api_of(config, offload), _place(config), config.filename, behind, watches, rng)


def stored_document(
    config: ConfigMapRules, document: Document[T], source: str, watches: Watches, offload: Offload, rng: random.Random
) -> Cell[Followed[T]]:
    """What a text in a ConfigMap means. `source` says whose it is."""
    api, place = _api_of(config, offload), _place(config)
    return config_map_document(api, place, config.filename, document, source, watches, rng)


def config_map_store(config: ConfigMapInterpreter, offload: Offload) -> ConfigMapDtabStore:
    """The store that an interpreter takes its dtab from."""
    return ConfigMapDtabStore(_api_of(config, offload), _place(config))


def _place(config: ConfigMapInterpreter | ConfigMapRules) -> ConfigMapPlace:
    return ConfigMapPlace(config.namespace, config.name)


def _api_of(config: ConfigMapInterpreter | ConfigMapRules, offload: Offload) -> Api:
    return _api(config.host, config.port, config.tls, config.token_file, offload)


def _api(host: str | None, port: int | None, tls: ApiTlsKeys | None, token_file: str | None, offload: Offload) -> Api:
    mounted = service_account(os.environ) if host is None and port is None else None
    return Api(access(host, port, tls, token_file, mounted), offload)


def access(
    host: str | None,
    port: int | None,
    tls: ApiTlsKeys | None,
    token_file: str | None,
    mounted: ServiceAccount | None,
) -> Access:
    """How the API is reached: as configured, or else as the service account of the pod says, or by a proxy."""
    if mounted is not None:
        trust = ContextParams(trust=(mounted.trust,))
        url = api_url("https", mounted.host, mounted.port)
        return Access(url, partial(client_context, trust), token_file=mounted.token_file)
    host, port = host or PROXY_HOST, PROXY_PORT if port is None else port
    asked = client_tls(tls)
    if asked is None:
        return Access(api_url("http", host, port))
    return Access(api_url("https", host, port), partial(client_context, asked.context), asked.server_name, token_file)
