"""Runs the agent with a count of its tasks: `python -m bench.soak.watched FILE run CONFIG`.

Twice a second FILE gets how many tasks trio has, how many blocks of memory Python's objects are in, and the longest
time since the last line for which the event loop was busy without a look at its sockets. Blocks that grow are a leak;
memory that grows without them is room between them. The agent is as it is; this costs it two calls a turn of its loop.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from functools import partial
from typing import NamedTuple

import trio

PERIOD = 0.5


class Watch(trio.abc.Instrument):
    """Counts tasks and keeps the longest turn of the loop."""

    def __init__(self, target: int) -> None:
        """*target* is a descriptor of a file, whose start is overwritten."""
        self._target = target
        self._tasks = 0
        self._longest = 0.0
        self._woke = self._written = time.perf_counter()

    def task_spawned(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002
        """Called by trio."""
        self._tasks += 1

    def task_exited(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002
        """Called by trio."""
        self._tasks -= 1

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        """Called by trio."""
        self._woke = time.perf_counter()

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        """Called by trio."""
        now = time.perf_counter()
        if now - self._woke > self._longest:
            self._longest = now - self._woke
        if now - self._written > PERIOD:
            line = f"{self._tasks:8} {sys.getallocatedblocks():12} {self._longest:12.6f}\n"
            os.pwrite(self._target, line.encode(), 0)
            self._written, self._longest = now, 0.0


class Reading(NamedTuple):
    """What stands in the file; *longest* is in seconds."""

    tasks: int
    blocks: int
    longest: float


def read(text: str) -> Reading:
    """Take a line apart; all is zero before the first."""
    words = text.split()
    return Reading(int(words[0]), int(words[1]), float(words[2])) if len(words) == 3 else Reading(0, 0, 0.0)


def main() -> None:
    """Become the agent with the rest of the command line as its own."""
    target = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
    trio.run = partial(trio.run, instruments=[Watch(target)])  # type: ignore[assignment]
    runpy.run_module("nodeagent", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
