"""Names that are tried before the agent calls itself ready, so that the first request finds them bound."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog
import trio

from namer.dtab import Dentry, Dtab
from namer.path import Path
from nodeagent.proxy.errors import NoSuchName, ProxyError
from nodeagent.routers import RunningRouter

log = structlog.get_logger("nodeagent.agent")

MAX_PRIMED: Final = 200
"""Names of one dtab that are tried."""


async def prime(routers: Iterable[RunningRouter]) -> None:
    """Try the names that listeners stand for and dtabs spell out. Never raises; cancelling is safe."""
    async with trio.open_nursery() as nursery:
        for running in routers:
            nursery.start_soon(_prime_router, running)


async def _prime_router(running: RunningRouter) -> None:
    bindings = running.router.bindings
    await bindings.wait_dtab()
    async with trio.open_nursery() as nursery:
        prefix = running.config.dst_prefix
        own = (prefix + server.name for server in running.config.servers if server.name is not None)
        for name in dict.fromkeys((*own, *primed_names(bindings.dtab, prefix))):
            nursery.start_soon(_try_name, running, name)


async def _try_name(running: RunningRouter, name: Path) -> None:
    try:
        await running.router.bindings.service(name, None)
    except NoSuchName:
        log.info("a name of the dtab is bound to nothing", router=running.label, name=name.show())
    except ProxyError as error:
        log.warning("a name of the dtab cannot be bound yet", router=running.label, error=error.message)


def primed_names(dtab: Dtab, prefix: Path) -> list[Path]:
    """Return the logical names that a dtab spells out, longer than `prefix` and without wildcards."""
    found: dict[Path, None] = {}
    for dentry in dtab.dentries:
        name = _literal(dentry)
        if name is not None and name.startswith(prefix) and len(name) > len(prefix):
            found[name] = None
        if len(found) == MAX_PRIMED:  # the rest, which may be long, is not looked at
            break
    return list(found)


def _literal(dentry: Dentry) -> Path | None:
    labels = tuple(element for element in dentry.prefix.elements if isinstance(element, str))
    return Path(labels) if len(labels) == len(dentry.prefix.elements) else None
