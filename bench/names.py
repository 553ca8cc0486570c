"""What names cost as they become many: `python -m bench.names`.

One agent without listeners, in this process, with names in files: how long it takes to bind a name in tables of
10 to 100,000 dentries, to find a bound name among 10,000, to take a change of one of them or of a name with 1,000
endpoints, to change the table under all of them; and what memory a bound name takes. Absolute figures are those of
the machine; the ratios, taken in one run, are what should hold.
"""

from __future__ import annotations

import gc
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path as FilePath
from statistics import median

import click
import trio

import conf
from namer.addr import AddrBound, Endpoint
from namer.binding import bind
from namer.dtab import Dtab
from namer.path import Path
from nodeagent.agent import HOUSEKEEPING, Agent
from nodeagent.garbage import short_collections
from nodeagent.proxy.bind import Bindings

TABLES = (10, 1_000, 100_000)
FEW, MANY = 10, 10_000
ENDPOINTS = 1_000
ROUNDS = 5
AT_ONCE = 200

CONFIG = """
namers: [{{kind: io.l5d.fs, rootDir: "{root}"}}]
routers:
- protocol: http
  dtab: /svc => /#/io.l5d.fs
  bindingCache: {{paths: 20000, clients: 20000}}
  bindingTimeoutMs: 120000
  interpreter: {{kind: io.l5d.fs, dtabFile: "{root}/.dtab"}}
  servers: [{{port: 0}}]
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """A cost in seconds, with few of something and with many of it."""

    what: str
    few: float
    many: float

    @property
    def ratio(self) -> float:
        """Many to few: 1.0 is flat."""
        return self.many / self.few


def per_item(act: Callable[[int], object], count: int, rounds: int = ROUNDS) -> float:
    """Seconds that `act(i)` takes for one i, as the median of some rounds over `count` of them."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        for index in range(count):
            act(index)
        taken.append((time.perf_counter() - start) / count)
    return median(taken)


def table(dentries: int) -> Dtab:
    """A table that spells out as many names."""
    return Dtab.parse(";".join(f"/svc/n{number} => /$/inet/127.0.0.1/80" for number in range(dentries)))


def bind_seconds(dentries: int, agent: Agent) -> float:
    """Seconds to bind one name under a table of as many dentries."""
    dtab, rng = table(dentries), random.Random(7)
    names = [Path(("svc", f"n{rng.randrange(dentries)}")) for _ in range(1000)]
    namers = agent.naming.namers_of(agent.config.routers[0])
    bind(names[0], dtab, namers)  # the index of the table is built at the first look
    return per_item(lambda index: bind(names[index], dtab, namers), len(names))


def lookup_seconds(bindings: Bindings, names: Sequence[Path]) -> float:
    """Seconds that a request needs to find its bound name."""
    asked = random.Random(7).choices(names, k=20_000)
    return per_item(lambda index: bindings.service_nowait(asked[index], None), len(asked))


def update_seconds(bindings: Bindings, endpoints: int) -> float:
    """Seconds until all is in step with a change of one endpoint of a name with so many."""
    client = bindings.clients.named(Path(("#", "io.l5d.fs", "n0")))
    assert client is not None, "n0 is bound"
    known = tuple(Endpoint(f"10.0.{number // 250}.{number % 250 + 1}", 80) for number in range(endpoints + 1))
    client.addr.set(AddrBound(known[:endpoints]), 0.0)

    def change(index: int) -> None:
        client.addr.set(AddrBound(known[index % 2 : endpoints + index % 2]), 0.0)

    return per_item(change, 20)


async def sweep_seconds(bindings: Bindings) -> float:
    """Seconds that a look at all names takes, every second, when nothing has changed."""
    start = time.perf_counter()
    await bindings.sweep(trio.current_time())
    return time.perf_counter() - start


async def bind_all(bindings: Bindings, names: Sequence[Path]) -> None:
    """Bind names as their first requests would, some at a time."""
    limiter = trio.CapacityLimiter(AT_ONCE)

    async def one(name: Path) -> None:
        async with limiter:
            await bindings.service(name, None)

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(one, name)


def resident_bytes() -> int:
    """Memory of this process."""
    gc.collect()
    pages = int(FilePath("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@contextmanager
def directory(names: int) -> Iterator[FilePath]:
    """Discovery with a file for each of so many names."""
    with tempfile.TemporaryDirectory(prefix="nodeagent-bench-") as name:
        root = FilePath(name)
        (root / ".dtab").write_text("/svc => /#/io.l5d.fs")
        for number in range(names):
            (root / f"n{number}").write_text("127.0.0.1 80\n")
        yield root


async def longest_stall(seconds: float) -> float:
    """The longest time within so many seconds that a task that is always ready had to wait for its turn."""
    longest = 0.0
    until = trio.current_time() + seconds
    before = time.perf_counter()
    while trio.current_time() < until:
        await trio.sleep(0)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    return longest


async def measure(root: FilePath, say: Callable[[str], None]) -> tuple[list[Figure], dict[str, float]]:
    """All costs: those that are to be flat, and those that are what they are."""
    agent = Agent(conf.load(CONFIG.format(root=root), "bench"))
    async with trio.open_nursery() as nursery:
        await nursery.start(agent.naming.run)
        figures, single = await measure_names(agent, say)
        say("reading and asking tables")
        figures += measure_tables(agent)
        single["seconds to read 100,000 dentries"] = per_item(lambda _: table(TABLES[-1]), 1, rounds=1)
        say(f"changing the table under {MANY:,} names")
        (root / ".dtab").write_text("/svc => /#/io.l5d.fs; /new => /svc")
        nursery.start_soon(look_after, agent.routers[0].router.bindings)
        single[f"ms that the table's change under {MANY:,} names holds up others"] = await longest_stall(4.0) * 1e3
        nursery.cancel_scope.cancel()
    return figures, single


async def look_after(bindings: Bindings) -> None:
    """What the agent's housekeeping does for names."""
    while True:
        await trio.sleep(HOUSEKEEPING)
        await bindings.sweep(trio.current_time())


async def measure_names(agent: Agent, say: Callable[[str], None]) -> tuple[list[Figure], dict[str, float]]:
    """With a few names bound, and then with many."""
    bindings = agent.routers[0].router.bindings
    names = [Path(("svc", f"n{number}")) for number in range(MANY)]
    await bindings.wait_dtab()
    say(f"binding {FEW} names")
    await bind_all(bindings, names[:FEW])
    few_lookup, few_update = lookup_seconds(bindings, names[:FEW]), update_seconds(bindings, 2)
    before = resident_bytes()
    say(f"binding {MANY:,} names")
    start = time.perf_counter()
    await bind_all(bindings, names)
    bound_in = time.perf_counter() - start
    memory = (resident_bytes() - before) / (MANY - FEW)
    figures = [
        Figure(f"find a bound name, {FEW} and {MANY:,} of them", few_lookup, lookup_seconds(bindings, names)),
        Figure(f"change a name, {FEW} and {MANY:,} of them", few_update, update_seconds(bindings, 2)),
        Figure(f"change a name, 2 and {ENDPOINTS:,} endpoints in it", few_update, update_seconds(bindings, ENDPOINTS)),
    ]
    return figures, {
        "KB of memory for a bound name": memory / 1e3,
        f"ms to bind a name, {AT_ONCE} at a time": bound_in / (MANY - FEW) * 1e3,
        f"ms to count the staleness of {MANY:,} names, for who reads metrics": per_item(
            lambda _: agent.naming.watches.totals(), 1
        )
        * 1e3,
        f"ms to look after {MANY:,} names, once a second, in slices": await sweep_seconds(bindings) * 1e3,
    }


def measure_tables(agent: Agent) -> list[Figure]:
    """With few and with many dentries."""
    costs = {size: bind_seconds(size, agent) for size in TABLES}
    few = TABLES[0]
    return [Figure(f"bind a name, {few} and {size:,} dentries", costs[few], costs[size]) for size in TABLES[1:]]


@click.command()
@click.option("--json", "target", type=click.Path(path_type=FilePath), help="Write the figures to this file too.")
def main(target: FilePath | None) -> None:
    """Print what names cost as they become many."""
    with short_collections(), directory(MANY) as root:
        figures, single = trio.run(measure, root, lambda text: click.echo(f"{text} ...", err=True))
    click.echo("\n".join(lines(figures, single)))
    if target is not None:
        target.write_text(json.dumps({"seconds": [asdict(figure) for figure in figures], "single": single}, indent=2))


def lines(figures: Sequence[Figure], single: Mapping[str, float]) -> Iterator[str]:
    """Both kinds of figures, for people."""
    yield f"{'us':50} {'few':>9} {'many':>9} {'ratio':>7}"
    for figure in figures:
        yield f"{figure.what:50} {figure.few * 1e6:9.2f} {figure.many * 1e6:9.2f} {figure.ratio:7.2f}"
    for what, value in single.items():
        yield f"{what:70} {value:7.2f}"


if __name__ == "__main__":
    main()
