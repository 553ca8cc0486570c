"""Runs an example as its header says, on free ports, with the backends of `examples/backend.py`."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.nodeagent.cli.processes import PATIENCE, fetch, ports, started

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True, slots=True)
class Driven:
    """An example that runs: its directory, the ports of its agent, and those of its backends, 8081 and 8082."""

    directory: Path
    proxy: int
    admin: int
    backends: tuple[int, int]

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
def driven(example: str, directory: Path, *backends: Sequence[str]) -> Iterator[Driven]:
    """The example in `directory`, with these backends: each its name and options, as for `backend.py`."""
    with ExitStack() as running:
        one, two = (running.enter_context(backend(*arguments)) for arguments in backends)
        replaced = {r"\b8081\b": str(one), r"\b8082\b": str(two), r"\b(4140|9990)\b": "0"}
        shutil.copytree(EXAMPLES, directory, dirs_exist_ok=True)
        for path in (directory / example, *(directory / "disco").iterdir()):
            text = path.read_text()
            for pattern, port in replaced.items():
                text = re.sub(pattern, port, text)
            path.write_text(text)
        agent = running.enter_context(started("run", example, cwd=directory))
        found = ports(agent, 2)
        admin = found.pop("admin")
        (proxy,) = found.values()
        yield Driven(directory, proxy, admin, (one, two))
        agent.signal(signal.SIGTERM)
        code, _, err = agent.end()
        assert (code, "Traceback" in err) == (0, False), err


@contextmanager
def backend(name: str, *options: str) -> Iterator[int]:
    """`backend.py` on a free port."""
    command = (sys.executable, str(EXAMPLES / "backend.py"), name, "0", *options)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.kill()
