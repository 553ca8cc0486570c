"""What speaks with Consul, built from configuration."""

from __future__ import annotations

import pathlib
import random
import ssl
from functools import partial
from typing import TypeVar

from conf.consul import ConsulNamer
from conf.interpreters import ConsulInterpreter
from conf.rulestores import ConsulRules
from namer.cell import Cell
from namer.consul import namer
from namer.consul.api import LOCAL, Access, Consul
from namer.consul.catalog import STATUSES, Rules
from namer.consul.kv import ConsulDtabStore, Place, consul_document, consul_dtab
from namer.document import Document, Followed
from namer.dtab import Dtab
from namer.dtabcell import DtabState
from namer.hosts import Hosts
from namer.httpapi import ApiError
from namer.path import Path
from namer.watch import Cells, Watches
from nodeagent.policies import client_tls
from tls.contexts import Contexts
from tls.files import TlsConfigError
from tls.params import ContextParams

T = TypeVar("T")


def consul_namer(
    prefix: Path, config: ConsulNamer, cells: Cells, hosts: Hosts, contexts: Contexts, rng: random.Random
) -> namer.ConsulNamer:
    """The namer of a section."""
    weights = {each.tag: each.weight for each in config.weights}
    rules = Rules(_statuses(config), weights, config.prefer_service_address)
    params = namer.ConsulParams(config.include_tag, config.set_host, rules)
    consul = Consul(_access(config, config.consistency_mode, contexts), rng)
    return namer.ConsulNamer(prefix, consul, params, cells, hosts)


def interpreter_dtab(
    config: ConsulInterpreter, behind: Dtab, watches: Watches, contexts: Contexts, rng: random.Random
) -> Cell[DtabState]:
    """The table of an interpreter with `behind` after it."""
    consul = Consul(_access(config, config.read_consistency_mode, contexts), rng)
    return consul_dtab(consul, _place(config), config.namespace, behind, watches)


def stored_document(
    config: ConsulRules, document: Document[T], source: str, watches: Watches, contexts: Contexts, rng: random.Random
) -> Cell[Followed[T]]:
    """What a text in Consul's store means. `source` says whose it is."""
    consul = Consul(_access(config, config.read_consistency_mode, contexts), rng)
    return consul_document(consul, _place(config), config.namespace, document, source, watches)


def consul_store(config: ConsulInterpreter, contexts: Contexts, rng: random.Random) -> ConsulDtabStore:
    """The store that an interpreter takes its dtab from."""
    return ConsulDtabStore(Consul(_access(config, config.read_consistency_mode, contexts), rng), _place(config))


def _place(config: ConsulInterpreter | ConsulRules) -> Place:
    return Place(config.path_prefix, config.datacenter or LOCAL)


def _statuses(config: ConsulNamer) -> frozenset[str]:
    if config.use_health_check is None:
        return Rules().statuses
    if not config.use_health_check or "any" in config.health_statuses:
        return frozenset(STATUSES)
    return frozenset(config.health_statuses)


def _access(config: ConsulNamer | ConsulInterpreter | ConsulRules, consistency: str, contexts: Contexts) -> Access:
    tls = client_tls(config.tls)
    return Access(
        host=config.host,
        port=config.port,
        token=config.token,
        token_file=None if config.token_file is None else pathlib.Path(config.token_file),
        tls=None if tls is None else partial(_context, tls.context, contexts),
        server_name=None if tls is None else tls.server_name,
        consistency=consistency,
    )


def _context(params: ContextParams, contexts: Contexts) -> ssl.SSLContext:
    try:
        return contexts.client(params)
    except TlsConfigError as error:
        raise ApiError(str(error)) from None
