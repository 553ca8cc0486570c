"""Where the dtab of a router is kept, from its configuration: what `nodeagent dtab` reads and writes."""

from __future__ import annotations

import pathlib
import random

from conf.interpreters import ConfigMapInterpreter, ConsulInterpreter, DefaultInterpreter, FsInterpreter
from conf.router import AnyRouter
from namer.dtabstore import DtabStore, StoredDtab, StoreError
from namer.files import worker_threads
from namer.filestore import FileDtabStore


class ConfiguredDtab:
    """The dtab that stands in the configuration itself, which is read and never written."""

    def __init__(self, router: AnyRouter, origin: str) -> None:
        self._router = router
        self.name = f"router {router.label} of {origin}"

    async def list(self) -> list[str]:
        """As DtabStore."""
        return [self._router.label]

    async def get(self, namespace: str) -> StoredDtab | None:
        """As DtabStore; one dentry a line."""
        if namespace != self._router.label:
            return None
        return StoredDtab("".join(f"{dentry} ;\n" for dentry in self._router.dtab.dentries), None)

    async def set(self, namespace: str, text: str, version: str | None) -> None:  # noqa: ARG002
        """Raises StoreError."""
        raise StoreError(
            f"{self.name}: its dtab is part of the configuration; change it there and restart the agent, or give the "
            f"router an interpreter that keeps it elsewhere, such as io.l5d.fs"
        )


def dtab_store(router: AnyRouter, origin: str) -> tuple[DtabStore, str]:
    """The store of a router's dtab, and the namespace it has there. `origin` names the configuration."""
    match router.interpreter:
        case DefaultInterpreter():
            return ConfiguredDtab(router, origin), router.label
        case FsInterpreter(dtab_file=written):
            path = pathlib.Path(written)
            return FileDtabStore(path.parent, path.suffix), path.name.removesuffix(path.suffix)
        case ConsulInterpreter() as interpreter:
            from nodeagent.naming.consul import consul_store  # whoever has no Consul does not pay for the HTTP library
            from tls.contexts import Contexts

            return consul_store(interpreter, Contexts(), random.Random()), interpreter.namespace
        case ConfigMapInterpreter() as interpreter:
            from nodeagent.naming.kubernetes import config_map_store

            return config_map_store(interpreter, worker_threads(1)), interpreter.filename
