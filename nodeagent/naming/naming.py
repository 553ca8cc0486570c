"""Everything that names things, built from configuration: for the agent, and for `explain` and `check` without one."""

from __future__ import annotations

import pathlib
import random
from collections.abc import Sequence
from typing import TypeVar

import structlog
import trio

from conf.consul import ConsulNamer
from conf.dns import Dns, DnsSrvNamer
from conf.identifiers import StaticIdentifier
from conf.interpreters import ConfigMapInterpreter, ConsulInterpreter, FsInterpreter
from conf.kubernetes import KubernetesNamer
from conf.namers import AnyNamer, FsNamer, RewriteNamer
from conf.router import AnyRouter, HttpRouter
from conf.rulestores import AnyRuleStore, ConfigMapRules, ConsulRules, FileRules
from conf.transformers import (
    AnyTransformer,
    ConstTransformer,
    DaemonsetTransformer,
    LocalhostTransformer,
    LocalnodeTransformer,
    PortTransformer,
    ReplaceTransformer,
    SpecificHostTransformer,
)
from namer import fs
from namer.addr import Addr
from namer.binding import Namers
from namer.builtin import builtin_namers
from namer.cell import Cell
from namer.document import Document, Followed
from namer.dtabcell import DtabState
from namer.dtabfile import document_file, dtab_file
from namer.files import FileWatch
from namer.health import Assess, by_addresses
from namer.namer import Namer
from namer.path import Path
from namer.rewrite import rewrite_namer
from namer.staleness import StaleLimit
from namer.transform.addresses import localhost, port, specific_host
from namer.transform.names import Const, Numbered, Replace
from namer.transform.transformer import Transformer, transformed, transformed_namers
from namer.watch import Twin, Watches, twin_source
from nodeagent.naming.dns import DnsParts
from tls.contexts import Contexts

T = TypeVar("T")

log = structlog.get_logger("nodeagent.naming")

CONFIGURED = Path(("#",))
"""What stands before the prefix of a configured namer."""


def assessment(config: AnyRouter) -> Assess | None:
    """How a router judges concrete names whose endpoints were never called; None when names alone decide."""
    return by_addresses if config.failover == "health" else None


class Naming:
    """The namers of one configuration and the tasks that keep their answers live."""

    def __init__(
        self, namers: Sequence[AnyNamer], rng: random.Random, dns: Dns, contexts: Contexts | None = None
    ) -> None:
        """Asks nothing of the outside: that begins when somebody subscribes to an answer, and `run` runs."""
        self._rng = rng
        self._contexts = contexts or Contexts()
        self.watches = Watches(rng)
        self.files = FileWatch()
        self._dns = DnsParts(dns, self.watches, rng)
        self._hosts = self._dns.hosts
        prefixes = [CONFIGURED + config.prefix for config in namers]
        numbers = twins(prefixes)
        self.sources = tuple(twin_source(each.show(), number) for each, number in zip(prefixes, numbers, strict=True))
        """What the watches call the namers: their prefixes, told apart where two have the same."""
        self.builtins = builtin_namers(self._hosts)
        """The namers under `/$/`, by label."""
        self._roots: list[tuple[Path, pathlib.Path]] = []
        self._configured = [
            (prefix, transformed(self._make(prefix, config, number), self._transformers(config.transformers)))
            for prefix, config, number in zip(prefixes, namers, numbers, strict=True)
        ]
        for source, config in zip(self.sources, namers, strict=True):
            if config.max_stale_secs is not None:
                self.watches.limit(source, StaleLimit(config.max_stale_secs, refuse=config.when_stale == "refuse"))

    def address(self, host: str, port: int) -> Cell[Addr]:
        """A port of a host, by the agent's own resolver; followed for as long as somebody subscribes."""
        return self._hosts.addr(host, port)

    def dtab(self, config: AnyRouter) -> Cell[DtabState]:
        """The table of a router: that of its interpreter, if it has one, and behind it the router's own."""
        match config.interpreter:
            case FsInterpreter(dtab_file=path):
                return dtab_file(path, config.dtab, self.watches, self.files)
            case ConsulInterpreter() as interpreter:
                from nodeagent.naming.consul import interpreter_dtab

                return interpreter_dtab(interpreter, config.dtab, self.watches, self._contexts, self._rng)
            case ConfigMapInterpreter() as interpreter:
                from nodeagent.naming import kubernetes

                offload = self.files.offload
                return kubernetes.interpreter_dtab(interpreter, config.dtab, self.watches, offload, self._rng)
        own: DtabState = config.dtab
        return Cell.constant(own)

    def document(self, store: AnyRuleStore, document: Document[T], source: str) -> Cell[Followed[T]]:
        """What a text in a store means, live while somebody subscribes. `source` says whose it is, in statistics."""
        match store:
            case FileRules(rules_file=path):
                return document_file(path, document, source, self.watches, self.files)
            case ConsulRules():
                from nodeagent.naming.consul import stored_document

                return stored_document(store, document, source, self.watches, self._contexts, self._rng)
            case ConfigMapRules():
                from nodeagent.naming import kubernetes

                offload = self.files.offload
                return kubernetes.stored_document(store, document, source, self.watches, offload, self._rng)

    def namers_of(self, config: AnyRouter) -> Namers:
        """The namers as a router sees them: behind the transformers of its interpreter, if it has some.

        They know what of a name is the router's own word.
        """
        transformers, given = self._transformers(config.interpreter.transformers), _given(config)
        if transformers:
            return transformed_namers(self._configured, self.builtins, transformers, given)
        return Namers(self._configured, self.builtins, given)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep what is asked for live. Returns only by being cancelled; the answers stay as they are then."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.files.run)
            await nursery.start(self.watches.run)
            nursery.start_soon(self._report_missing_roots)
            task_status.started()

    async def _report_missing_roots(self) -> None:
        """Say so when a root directory is not there: it may come later, or be misspelt."""
        for prefix, root in self._roots:
            if not await self.files.offload(root.is_dir):
                log.warning("the root directory of a namer is missing", namer=prefix.show(), root_dir=str(root))

    def _make(self, prefix: Path, config: AnyNamer, number: int) -> Namer:
        namer = self._of_kind(prefix, config, number)
        # Where another namer has the prefix, as linkerd allows, what the two know must not be mixed up.
        return transformed(namer, [Numbered(number)]) if number else namer

    def _of_kind(self, prefix: Path, config: AnyNamer, number: int) -> Namer:
        cells = Twin(self.watches, number) if number else self.watches
        match config:
            case FsNamer(root_dir=root_dir):
                root = pathlib.Path(root_dir)
                self._roots.append((prefix, root))
                return fs.FsNamer(prefix, root, cells, self.files, self._hosts)
            case ConsulNamer():
                from nodeagent.naming.consul import (
                    consul_namer,  # whoever has no Consul does not pay for the HTTP library
                )

                return consul_namer(prefix, config, cells, self._hosts, self._contexts, self._rng)
            case DnsSrvNamer():
                return self._dns.srv_namer(prefix, config, number)
            case KubernetesNamer():
                from nodeagent.naming.kubernetes import kubernetes_namer

                return kubernetes_namer(prefix, config, cells, self.files.offload, self._rng)
            case RewriteNamer():
                return rewrite_namer(config.pattern, config.name)

    def _transformers(self, configs: Sequence[AnyTransformer]) -> list[Transformer]:
        return [self._transformer(each) for each in configs]

    def _transformer(self, config: AnyTransformer) -> Transformer:
        match config:
            case LocalhostTransformer():
                return localhost(config.id_prefix)
            case SpecificHostTransformer(host=host):
                return specific_host(config.id_prefix, host, self._hosts)
            case PortTransformer(port=number, keep_endpoints=keep):
                return port(config.id_prefix, number, keep_endpoints=keep)
            case DaemonsetTransformer():
                from nodeagent.naming import kubernetes

                return kubernetes.daemonset(config, self.watches, self.files.offload, self._rng)
            case LocalnodeTransformer():
                from nodeagent.naming import kubernetes

                return kubernetes.localnode(config)
            case ReplaceTransformer(path=path):
                return Replace(config.id_prefix, path, self.builtins)
            case ConstTransformer(path=path):
                return Const(config.id_prefix, path, self.builtins)


def _given(config: AnyRouter) -> tuple[Path, ...]:
    """What a router puts before the names of requests, or in their place."""
    named = [server.name for server in config.servers if server.name is not None]
    if isinstance(config, HttpRouter):
        named += [each.path for each in config.identifier if isinstance(each, StaticIdentifier)]
    return (config.dst_prefix, *(config.dst_prefix + path for path in named))


def twins(prefixes: Sequence[Path]) -> list[int]:
    """For each prefix, how many equal ones stand before it."""
    return [prefixes[:index].count(prefix) for index, prefix in enumerate(prefixes)]
