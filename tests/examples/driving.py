"""Runs an example as its header says, on free ports, with the backends of `examples/backend.py`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import conf
from tests.namer.consul.real import BINARY
from tests.nodeagent.cli.processes import PATIENCE, Process, fetch, ports, started

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
PROGRAMS: Final = 'nodeagent() { "$PYTHON" -m nodeagent "$@"; }; consul() { "$CONSUL" "$@"; }; '
"""Commands of a header find these two wherever they are installed."""


@dataclass(frozen=True, slots=True)
class Driven:
    """An example that runs: its file, the ports of its agent, and those of its backends, 8081 and 8082."""

    file: Path
    routers: Mapping[str, int]
    proxy: int
    admin: int
    backends: tuple[int, int]
    agent: Process
    """What it prints after its listeners is there to be read."""

    def at(self, label: str) -> Self:
        """The same, asked through the router with this label."""
        return replace(self, proxy=self.routers[f"router {label}"])

    def commands(self, beginning: str) -> list[str]:
        """The commands of the header that begin so, with the ports of this run."""
        header = re.sub(r"\\\n#\s*", "", self.file.read_text())
        found = [line[4:] for line in header.splitlines() if line.startswith(f"#   {beginning}")]
        assert found, beginning
        return found

    def run(self, beginning: str, **environment: str) -> str:
        """Run the commands of the header that begin so, one after the other, and return what they print."""
        return "".join(self.shell(command, **environment) for command in self.commands(beginning))

    def shell(self, command: str, **environment: str) -> str:
        """Run one command in the directory of the example, and return what it prints."""
        env = os.environ | {"PYTHON": sys.executable, "CONSUL": str(BINARY)} | environment
        done = subprocess.run(
            ["sh", "-c", PROGRAMS + command],
            cwd=self.file.parent,
            env=env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.stderr == "", (command, done.stderr)
        return done.stdout

    def ask(self, host: str, path: str = "/", *, method: str = "GET", **headers: str) -> tuple[int, str]:
        """Status and text of one answer through the agent."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        response, text = fetch(self.proxy, host, path, method=method, headers=fields)
        return response.status, text.rstrip()

    def who(self, host: str, times: int = 1, **headers: str) -> Counter[str]:
        """The names of the backends that answered so many requests, and how often."""
        return Counter(self.ask(host, **headers)[1].partition(" on ")[0] for _ in range(times))

    def eventually(self, host: str, name: str) -> None:
        """Return when only backends of that name answer; discovery needs a moment."""
        deadline = time.monotonic() + PATIENCE
        while set(now := self.who(host, 20)) != {name}:
            assert time.monotonic() < deadline, now
            time.sleep(0.05)


@contextmanager
def driven(
    example: str,
    directory: Path,
    *backends: Sequence[str] | int,
    others: Mapping[int, int] | None = None,
    before: Sequence[str] = (),
) -> Iterator[Driven]:
    """The example in `directory`, with these backends: each its name and options, as for `backend.py`.

    A port in the place of a backend is one that the test uses itself. `others` says what stands for other ports.
    `before` are commands of `nodeagent` that the header runs first.
    """
    with ExitStack() as running:
        one, two = (each if isinstance(each, int) else running.enter_context(backend(*each)) for each in backends)
        known = {8081: one, 8082: two, 4140: 0, 9990: 0, **(others or {})}
        replaced = {rf"\b{port}\b": str(used) for port, used in known.items()}
        shutil.copytree(EXAMPLES, directory, dirs_exist_ok=True)
        for path in (directory / example, *(directory / "disco").iterdir()):
            text = path.read_text()
            for pattern, port in replaced.items():
                text = re.sub(pattern, port, text)
            path.write_text(text)
        for command in before:
            with started(*command.split(), cwd=directory) as process:
                assert process.end()[0] == 0, command
        agent = running.enter_context(started("run", example, cwd=directory))
        routers = conf.read(str(directory / example)).routers
        found = ports(agent, sum(len(router.servers) for router in routers) + 1)
        admin = found.pop("admin")
        yield Driven(directory / example, found, next(iter(found.values())), admin, (one, two), agent)
        agent.signal(signal.SIGTERM)
        code, _, err = agent.end()
        assert (code, "Traceback" in err) == (0, False), err


@contextmanager
def backend(name: str, *options: str, port: int = 0) -> Iterator[int]:
    """`backend.py` on this port, or a free one."""
    command = (sys.executable, str(EXAMPLES / "backend.py"), name, str(port), *options)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.kill()
