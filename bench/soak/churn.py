"""What comes and goes around the agent: names, the endpoints of names, and whole backends."""

from __future__ import annotations

import random
import tempfile
from collections import deque
from contextlib import AbstractContextManager
from pathlib import Path

import trio

from bench.peers import BACKEND, Site
from bench.processes import free_ports
from bench.stage import Ground, Started, started

SETTLE = 3.0
"""Seconds for discovery to hear of a change (it looks twice a second), and for answers under way to end."""
GRACE = 30.0
"""Seconds from a name's last request to its end: no conversation takes longer."""
LIVE_NAMES = 200
NAME_EVERY = 0.1
BACKEND_EVERY = 10.0
BACKENDS = 2


def write(directory: Path, name: str, ports: list[int]) -> None:
    """Let *name* have these endpoints, at once and not half."""
    new = directory / f".{name}.new"
    new.write_text("".join(f"127.0.0.1 {port}\n" for port in ports))
    new.replace(directory / name)


class Names:
    """Names that come, change their endpoints, and go; thousands over time, LIVE_NAMES of them in use."""

    def __init__(self, directory: Path, ports: list[int], rng: random.Random) -> None:
        self._directory = directory
        self._ports = ports
        self._rng = rng
        self._live: deque[str] = deque()
        self._gone: deque[tuple[float, str]] = deque()
        self.made = 0
        self.strangers = 0
        for _ in range(LIVE_NAMES):
            self._make()

    def known(self) -> str:
        """A name that has endpoints, and keeps them for long enough."""
        return self._rng.choice(self._live)

    def unknown(self) -> str:
        """A name that was never heard of."""
        self.strangers += 1
        return f"stranger{self.strangers}.invalid"

    def turn(self, now: float) -> None:
        """One name comes, one is asked for no more, one has other endpoints, and those that were left long ago end."""
        self._make()
        self._gone.append((now, self._live.popleft()))
        self._place(self._rng.choice(self._live))
        while self._gone and self._gone[0][0] < now - GRACE:
            (self._directory / self._gone.popleft()[1]).unlink()

    def _make(self) -> None:
        name = f"n{self.made}"
        self.made += 1
        self._place(name)
        self._live.append(name)

    def _place(self, name: str) -> None:
        write(self._directory, name, self._rng.sample(self._ports, self._rng.randint(1, 3)))


async def change_names(names: Names) -> None:
    """A turn every NAME_EVERY seconds. A new name may be asked for at once: nobody knows it yet."""
    while True:
        await trio.sleep(NAME_EVERY)
        names.turn(trio.current_time())


class Backends:
    """The endpoints of one name, each a process: one comes, then the oldest goes, when discovery has forgotten it."""

    def __init__(self, ground: Ground, name: str, directory: Path) -> None:
        self._ground = ground
        self._name = name
        self._directory = directory
        self._running: deque[tuple[int, AbstractContextManager[Started]]] = deque()
        self.started = 0

    def fill(self) -> None:
        """Start the first. Raises BenchError when one does not start."""
        for _ in range(BACKENDS):
            self._start()
        self._publish()

    async def change(self) -> None:
        """Replace one after the other until cancelled. Raises BenchError when one does not start."""
        while True:
            await trio.sleep(BACKEND_EVERY)
            await trio.to_thread.run_sync(self._start)
            self._publish()
            await trio.sleep(SETTLE)
            _, oldest = self._running.popleft()
            self._publish()
            try:
                await trio.sleep(SETTLE)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(oldest.__exit__, None, None, None)

    def stop(self) -> None:
        """Stop all."""
        while self._running:
            self._running.pop()[1].__exit__(None, None, None)

    def _start(self) -> None:
        one, two, unused = free_ports(3)
        directory = Path(tempfile.mkdtemp(dir=self._ground.directory, prefix="backend"))
        backend = started(BACKEND, Site(directory, unused, unused, (one, two)), core=self._ground.load_core)
        backend.__enter__()
        self._running.append((one, backend))
        self.started += 1

    def _publish(self) -> None:
        write(self._directory, self._name, [port for port, _ in self._running])
