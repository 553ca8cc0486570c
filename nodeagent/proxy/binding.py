"""One logical name as bound now; `Bindings` (bind.py) makes them and keeps them in step with discovery."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import trio

from namer.cell import Cell
from namer.dtab import Dtab
from namer.path import Path
from nodeagent.proxy.balance import Client
from nodeagent.proxy.errors import ProxyError
from nodeagent.proxy.service import Service
from nodeagent.telemetry.exchange import Derivation

Key: TypeAlias = Path | tuple[Path, Dtab]
"""A name, with the caller's local dtab when there is one."""


class Binding:
    """One logical name as bound now. Exactly one of `service` and `error` is set, or neither while it is pending."""

    __slots__ = (
        "cells",
        "changed",
        "clients",
        "derivation",
        "dtab",
        "error",
        "outdated",
        "path",
        "service",
        "unused_since",
        "used",
        "waiting",
    )

    def __init__(self, path: Path, dtab: Dtab) -> None:
        self.path = path
        self.dtab = dtab
        """The caller's local dtab only."""
        self.service: Service | None = None
        self.error: ProxyError | None = None
        self.cells: tuple[Cell[Any], ...] = ()
        self.clients: tuple[Client, ...] = ()
        """Those that it holds: all that were met on the way to what it is bound to."""
        self.derivation = Derivation((), ())
        """How it came to that."""
        self.outdated = False
        """True since one of the cells changed, until it is bound again."""
        self.changed: trio.Event | None = None
        """Set at the next change; None while nobody waits for that."""
        self.waiting = 0
        """Requests that wait for the answer."""
        self.used = True
        """Since the last sweep."""
        self.unused_since = math.inf

    def outdate(self) -> None:
        """Have it bound again, by whoever needs it next."""
        self.outdated = True
        if self.changed is not None:
            self.changed.set()
            self.changed = None

    async def wait_outdated(self) -> None:
        """Return when one of the cells has changed. Cancelling is safe."""
        if self.changed is None:
            self.changed = trio.Event()
        self.waiting += 1
        try:
            await self.changed.wait()
        finally:
            self.waiting -= 1
