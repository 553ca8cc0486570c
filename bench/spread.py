"""What requests cost when they are spread over many names: `python -m bench.spread`.

A running agent with a file for each name, wrk at full speed with another Host in each request. First over a few
names, then over many, then over many while the table is replaced under all of them: by another short one, and by one
of 100,000 dentries. The longest time that a request took shows how long the agent was held up.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from bench.load import HEADERS, SPARE_SECONDS, WORKLOADS, generator
from bench.names import FEW, MANY, TABLES
from bench.peers import AGENT, Site
from bench.processes import BenchError, running
from bench.stage import Stage, Started, stage

CONFIG = """
admin: {{ip: 127.0.0.1, port: {site.admin_port}}}
namers: [{{kind: io.l5d.fs, rootDir: "{site.directory}/disco"}}]
routers:
- protocol: http
  interpreter: {{kind: io.l5d.fs, dtabFile: "{site.directory}/dtab"}}
  bindingCache: {{paths: 20000, clients: 20000}}
  servers: [{{ip: 127.0.0.1, port: {site.port}}}]
"""
OWN = "/svc => /#/io.l5d.fs"
CONNECTIONS = 32
SECONDS = 5
CHANGE_AFTER = 1.5
WARM_UPS = 16


@dataclass(frozen=True, slots=True)
class Spread:
    """What wrk saw of one run."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def files(site: Site, names: int = MANY) -> dict[str, str]:
    """The configuration of the agent, its table, and a file for each name."""
    endpoint = f"127.0.0.1 {site.backends[0]}\n"
    disco = {f"disco/n{number}": endpoint for number in range(names)}
    return {"agent.yaml": CONFIG.format(site=site), "dtab": OWN, **disco}


def long_table(dentries: int) -> str:
    """A table of as many dentries that sends the names where the short one does."""
    return ";\n".join([*(f"/svc/other{number} => /#/io.l5d.fs/n{number}" for number in range(dentries)), OWN])


def command(program: str, port: int, names: int, order: str, seconds: int) -> Sequence[str]:
    """wrk with a Host of its own for each request; `order` is turn or chance."""
    headers = [word for name, value in HEADERS.items() for word in ("-H", f"{name}: {value}")]
    script = str(Path(__file__).with_name("wrk_names.lua"))
    url = f"http://127.0.0.1:{port}{WORKLOADS['small'].path}"
    options = ("-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--timeout", "10s", "-s", script)
    return (program, *options, *headers, url, "--", str(names), order)


def parse(output: str) -> Spread:
    """Read the line that wrk_names.lua prints; raises BenchError when it is not there."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if len(lines) != 1:
        raise BenchError(f"wrk printed no figures:\n{output}")
    return Spread(**json.loads(lines[0]))


@dataclass(frozen=True, slots=True)
class Loaded:
    """An agent on a stage, to be asked for names."""

    stage: Stage
    agent: Started
    admin_port: int
    directory: Path

    def load(self, names: int, order: str = "chance", meanwhile: Callable[[], object] | None = None) -> Spread:
        """Ask for so many names for a while; `meanwhile` is called when that has begun. Raises BenchError."""
        asked = command(generator(WORKLOADS["small"]), self.agent.port, names, order, SECONDS)
        with running("wrk", asked, core=self.stage.load_core, log=self.stage.directory / "wrk.out") as process:
            if meanwhile is not None:
                time.sleep(CHANGE_AFTER)
                meanwhile()
            if (code := process.wait(SECONDS + SPARE_SECONDS)) != 0:
                raise process.failed(f"ended with {code}")
            return parse(process.output())

    def bind_all(self, names: int) -> None:
        """Ask for each name in turn until all are bound. Raises BenchError when that takes too long."""
        for _ in range(WARM_UPS):
            self.load(names, "turn")
            if self._bound() >= names:
                return
        raise BenchError(f"{self._bound()} of {names} names were bound after {WARM_UPS * SECONDS} s of load")

    def _bound(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/bound-names.json") as reply:
            return len(json.load(reply))

    def replace_table(self, text: str) -> None:
        """Put another table in the place of the agent's, at once."""
        fresh = self.directory / "fresh"
        fresh.write_text(text)
        fresh.replace(self.directory / "dtab")


def measure(loaded: Loaded, say: Callable[[str], None]) -> Iterator[tuple[str, Spread]]:
    """All runs, one after the other, each with what it is."""
    loaded.load(FEW)
    yield f"{FEW} names", loaded.load(FEW)
    say(f"binding {MANY:,} names")
    loaded.bind_all(MANY)
    yield f"{MANY:,} names", loaded.load(MANY)
    say("changing the table")
    long = long_table(TABLES[-1])
    changes = {
        "the table changes": f"{OWN} ; /new => /svc",
        f"{TABLES[-1]:,} dentries come": long,
        f"one of {TABLES[-1]:,} dentries changes": long.replace("/svc/other7 =>", "/svc/changed =>"),
    }
    for what, text in changes.items():
        yield f"{MANY:,} names, {what}", loaded.load(MANY, meanwhile=partial(loaded.replace_table, text))
    yield f"{MANY:,} names under {TABLES[-1]:,} dentries", loaded.load(MANY)


@click.command()
def main() -> None:
    """Print what requests cost when they are spread over many names."""
    sites: list[Site] = []

    def remembered(site: Site) -> dict[str, str]:
        sites.append(site)
        return files(site)

    with stage() as it, it.proxy(replace(AGENT, files=remembered)) as agent:
        loaded = Loaded(it, agent, sites[0].admin_port, sites[0].directory)
        click.echo(f"{'':45} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'longest ms':>10} {'errors':>6}")
        for what, seen in measure(loaded, lambda text: click.echo(f"{text} ...", err=True)):
            figures = f"{seen.rate:10,.0f} {seen.p50_ms:8.2f} {seen.p99_ms:8.2f} {seen.max_ms:10.1f} {seen.errors:6}"
            click.echo(f"{what:45} {figures}")
        click.echo(f"{'memory, MB':45} {agent.process.resident_bytes() / 1e6:10.0f}")


if __name__ == "__main__":
    main()
