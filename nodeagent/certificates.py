"""Follows the files of TLS: what new connections are made with is what the files say, half a second later. An edge.

A context is made anew when one of its files has changed, and swapped when all of them fit together; else the former
one stays, the log says which file is wrong, and it is tried again (the other half of a pair may be on its way, a
certificate may become valid). Connections that stand keep what they were made with.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
import trio

from namer.files import Change, FileWatch
from tls.contexts import Contexts, Params
from tls.files import TlsConfigError

log = structlog.get_logger("nodeagent.certificates")

AGAIN: Final = 5.0
"""Seconds until files that do not fit together are read again without having changed."""


class CertificateFiles:
    """The one owner of the tasks that keep contexts up to date."""

    def __init__(self, contexts: Contexts, files: FileWatch) -> None:
        """Learns of every context of `contexts`; `files` must run for changes to be noticed."""
        self._contexts = contexts
        self._files = files
        self._new: list[Params] = list(contexts.made())
        self._arrived = trio.Event()
        contexts.on_made = self._arrive

    def _arrive(self, params: Params) -> None:
        self._new.append(params)
        self._arrived.set()

    async def run(self) -> None:
        """Follow the files of all contexts, one child for each that has some. Cancel to stop."""
        async with trio.open_nursery() as nursery:
            while True:
                self._arrived = trio.Event()
                while self._new:
                    params = self._new.pop()
                    if params.files:
                        nursery.start_soon(self._follow, params)
                await self._arrived.wait()

    async def _follow(self, params: Params) -> None:
        """Keep one context. It is made anew at once: its files may have changed before they were watched."""
        async with AsyncExitStack() as watched:
            changes = [
                await watched.enter_async_context(self._files.watch(file)) for file in dict.fromkeys(params.files)
            ]
            fault = None
            while True:
                fault = await self._reload(params, fault)
                with trio.move_on_after(AGAIN if fault else float("inf")):
                    await any_of(changes)

    async def _reload(self, params: Params, known: str | None) -> str | None:
        """Swap the context if its files have changed; return what is wrong with them, which is said once."""
        try:
            swapped = await self._files.offload(self._contexts.reload, params)
        except (TlsConfigError, OSError) as error:  # the latter when there is no descriptor left, say
            if str(error) != known:
                log.warning("files of TLS cannot be used, the former ones stay", error=str(error))
            return str(error)
        if swapped or known:
            side = self._contexts.side(params)
            log.info("files of TLS were read anew", files=params.files, **_left(side.expires, datetime.now(UTC)))
        return None


async def any_of(changes: list[Change]) -> None:
    """Return when one of several files has changed. Cancelling is safe: no change is lost."""
    async with trio.open_nursery() as nursery:

        async def first(change: Change) -> None:
            await change.wait()
            nursery.cancel_scope.cancel()

        for change in changes:
            nursery.start_soon(partial(first, change))


def _left(expires: datetime | None, now: datetime) -> dict[str, object]:
    return {} if expires is None else {"hours_left": round((expires - now).total_seconds() / 3600, 1)}
