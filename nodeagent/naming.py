"""Everything that names things, built from configuration: for the agent, and for `explain` and `check` without one."""

from __future__ import annotations

import pathlib
import random
from collections.abc import Sequence

import trio

from conf.interpreters import FsInterpreter
from conf.namers import AnyNamer, FsNamer, RewriteNamer
from conf.router import HttpRouter
from namer import fs
from namer.binding import Namers
from namer.builtin import builtin_namers
from namer.cell import Cell
from namer.dtabfile import DtabState, dtab_file
from namer.files import FileWatch
from namer.hosts import Hosts
from namer.namer import Namer
from namer.path import Path
from namer.rewrite import rewrite_namer
from namer.watch import Watches

CONFIGURED = Path(("#",))
"""What stands before the prefix of a configured namer."""


class Naming:
    """The namers of one configuration and the tasks that keep their answers live."""

    def __init__(self, namers: Sequence[AnyNamer], rng: random.Random) -> None:
        """Asks nothing of the outside: that begins when somebody subscribes to an answer, and `run` runs."""
        self.watches = Watches(rng)
        self.files = FileWatch()
        self._hosts = Hosts(self.watches)
        self.prefixes = tuple(CONFIGURED + config.prefix for config in namers)
        configured = [
            (prefix, self._make(prefix, config)) for prefix, config in zip(self.prefixes, namers, strict=True)
        ]
        self.namers = Namers(configured, builtin_namers(self._hosts))

    def dtab(self, config: HttpRouter) -> Cell[DtabState]:
        """The table of a router: that of its interpreter's file, if it has one, and behind it the router's own."""
        interpreter = config.interpreter
        if isinstance(interpreter, FsInterpreter):
            return dtab_file(interpreter.dtab_file, config.dtab, self.watches, self.files)
        own: DtabState = config.dtab
        return Cell.constant(own)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep what is asked for live. Returns only by being cancelled; the answers stay as they are then."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.files.run)
            await nursery.start(self.watches.run)
            task_status.started()

    def _make(self, prefix: Path, config: AnyNamer) -> Namer:
        match config:
            case FsNamer():
                return fs.FsNamer(prefix, pathlib.Path(config.root_dir), self.watches, self.files, self._hosts)
            case RewriteNamer():
                return rewrite_namer(config.pattern, config.name)
