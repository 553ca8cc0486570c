"""Where the agent's time goes under load: `python -m bench.profile` prints the functions by their own time.

cProfile makes every Python call dearer, so the sum is above what `bench.compare` shows, and small functions
look worse than they are; the order is what to read. Time is wall time: in `poll` the agent waits for work.
"""

import dataclasses
import marshal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

from bench import load
from bench.load import WORKLOADS, Workload
from bench.peers import AGENT
from bench.processes import BenchError, Process
from bench.profiled import FINISH, START
from bench.stage import check_reply, stage

WARM_UP_SECONDS = 1
WRITE_SECONDS = 10.0

Function = tuple[str, int, str]  # file, line, name
Record = Mapping[Function, tuple[int, int, float, float, object]]  # as cProfile writes it: calls are the second


def profile(workload: Workload, seconds: int) -> tuple[Record, int]:
    """Load a profiled agent for *seconds*; its record, and how many requests it served meanwhile."""
    with stage() as here:
        target = here.directory / "profile"
        program = (sys.executable, "-m", "bench.profiled", str(target))
        with here.proxy(dataclasses.replace(AGENT, find=lambda: program)) as agent:
            check_reply(agent.port, workload)
            load.run(workload, agent.port, WARM_UP_SECONDS, core=here.load_core, directory=here.directory)
            agent.process.signal(START)
            result = load.run(workload, agent.port, seconds, core=here.load_core, directory=here.directory)
            agent.process.signal(FINISH)
            _wait_written(agent.process, target)
        record: Record = marshal.loads(target.read_bytes())
        return record, result.requests


def _wait_written(process: Process, target: Path) -> None:
    deadline = time.perf_counter() + WRITE_SECONDS
    while not target.exists():
        if process.exit_code() is not None or time.perf_counter() > deadline:
            raise process.failed("wrote no profile")
        time.sleep(0.05)


def top_functions(record: Record, requests: int, count: int) -> list[str]:
    """A header and a line for each of the *count* functions with the most time of their own."""
    ordered = sorted(record.items(), key=lambda item: item[1][2], reverse=True)
    lines = [f"{'own us':>8} {'with callees':>12} {'calls':>7}   per request, function"]
    for function, (_, calls, own, cumulative, _callers) in ordered[:count]:
        figures = f"{own / requests * 1e6:8.2f} {cumulative / requests * 1e6:12.2f} {calls / requests:7.2f}"
        lines.append(f"{figures}   {_label(function)}")
    return lines


def _label(function: Function) -> str:
    file, line, name = function
    if file == "~":
        return name  # built in
    return f"{'/'.join(Path(file).parts[-2:])}:{line} {name}"


@click.command()
@click.option("--workload", type=click.Choice(list(WORKLOADS)), default="small", show_default=True)
@click.option("--seconds", type=click.IntRange(1, 600), default=5, show_default=True)
@click.option("--top", type=click.IntRange(1, 1000), default=40, show_default=True, help="Lines to print.")
def main(workload: str, seconds: int, top: int) -> None:
    """Print where the agent spends its time under load."""
    try:
        record, requests = profile(WORKLOADS[workload], seconds)
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    total = sum(own for _, _, own, _, _ in record.values())
    click.echo(f"{requests:,} requests, {total / requests * 1e6:.1f} us each under the profiler\n")
    click.echo("\n".join(top_functions(record, requests, top)))


if __name__ == "__main__":
    main()
