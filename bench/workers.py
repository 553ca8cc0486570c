"""What a request costs with several workers, beside one: `python -m bench.workers`.

All processes of the agent share one core, so what is measured is the work: with a core for each, throughput grows with
their number as long as the CPU time of a request stays what it is. Each worker has as many connections as one alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import click

from bench.catalogue import requests
from bench.compare import alternate
from bench.load import WORKLOADS, Workload
from bench.peers import AGENT, Peer, Site, agent_files
from bench.results import figures_table, ratio_table
from bench.stage import stage

ONE = "1 worker"


def agent(workers: int) -> Peer:
    """The agent with so many workers, and defaults for the rest."""
    return replace(AGENT, name=_name(workers), files=partial(files, workers))


def files(workers: int, site: Site) -> dict[str, str]:
    """Its configuration and names."""
    written = agent_files(site)
    return written | {"agent.yaml": f"workers: {workers}\n{written['agent.yaml']}"}


def load(workload: str, workers: int) -> Workload:
    """As much for each worker as one alone would have: who serves more connections does more of them at a time."""
    alone = WORKLOADS[workload]
    rate = None if alone.rate is None else alone.rate * workers
    return replace(alone, connections=alone.connections * workers, rate=rate)


def report(counts: Sequence[int], rounds: int, seconds: int, workload: str) -> str:
    """Measure the agent with each of these numbers of workers in turns; the figures, and their ratios to one's."""
    with stage() as it:
        turns = {
            _name(count): partial(requests(load(workload, count)).measure, it, agent(count), seconds)
            for count in (1, *counts)
        }
        samples = alternate(turns, rounds, lambda text: click.echo(text, err=True))
    return "\n\n".join([figures_table(samples), ratio_table(samples, ONE)])


def _name(workers: int) -> str:
    return ONE if workers == 1 else f"{workers} workers"


@click.command()
@click.option("--workers", "counts", default="2,4", show_default=True, help="Numbers of workers to compare with one.")
@click.option("--workload", type=click.Choice(list(WORKLOADS)), default="small", show_default=True)
@click.option("--rounds", type=click.IntRange(1, 99), default=5, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 3600), default=5, show_default=True)
def main(counts: str, workload: str, rounds: int, seconds: int) -> None:
    """Print the CPU time of a request by number of workers."""
    click.echo(report([int(each) for each in counts.split(",")], rounds, seconds, workload))


if __name__ == "__main__":
    main()
