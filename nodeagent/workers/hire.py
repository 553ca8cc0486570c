"""Starts a worker: a fresh interpreter that inherits its sockets, and is told the rest. An edge."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from conf import AgentConfig
from nodeagent.listen import Listening
from nodeagent.memory import MEGABYTE, ceiling, resident_bytes
from nodeagent.workers.channel import Start, supervisor_end
from nodeagent.workers.handle import WorkerProcess
from nodeagent.workers.sockets import Ports

FOR_THE_SUPERVISOR = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
"""What the service manager means for nobody else."""


@dataclass(frozen=True, slots=True)
class Hire:
    """What all workers are started with."""

    config: AgentConfig
    text: str
    ports: Ports
    admin: Listening
    table: int
    memory_limit_mb: int | None
    """For one of them."""

    async def start(
        self, worker: int, *, says_hints: bool, log_level: str, log_changes: list[tuple[str, str, float]]
    ) -> WorkerProcess:
        """Start one, which logs as it is told. Cancelling leaves none behind."""
        listeners = [sock.fileno() for sock in self.ports.sockets_of(worker)]
        ours, theirs = socket.socketpair()
        with theirs, closed_on_error(ours):
            process = await trio.lowlevel.open_process(
                [*_interpreter(), "-m", "nodeagent.workers.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=None if _speaks(self.config) else subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), self.table, *listeners],
                env=_environment(os.environ),
                process_group=0,  # a Ctrl-C is for the supervisor
            )
        channel = supervisor_end(ours)
        channel.post(
            Start(
                worker,
                self.config.workers,
                self.text,
                self.config.origins.origin,
                self.ports.numbers(),
                listeners,
                (self.admin.host, self.admin.port),
                self.table,
                self.memory_limit_mb,
                says_hints,
                log_level,
                log_changes,
            )
        )
        return WorkerProcess(process, channel)


@contextmanager
def closed_on_error(sock: socket.socket) -> Iterator[None]:
    """Close a socket when what is inside fails."""
    try:
        yield
    except BaseException:
        sock.close()
        raise


def memory_part(config: AgentConfig) -> int | None:
    """Return the megabytes that one worker may take of the ceiling for all; None where there is none."""
    whole = ceiling(config.memory_limit_mb)
    return None if whole is None else max(1, (whole - resident_bytes()) // config.workers // MEGABYTE)


def _speaks(config: AgentConfig) -> bool:
    """Tell whether a worker has something to say on standard output."""
    return any(router.logged is not None and router.logged.to == "stdout" for router in config.routers)


def _interpreter() -> list[str]:
    """This one, which looks for modules where the supervisor does, and nowhere else."""
    return [sys.executable, *(f"-W{option}" for option in sys.warnoptions), "-P"]


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name not in FOR_THE_SUPERVISOR}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
