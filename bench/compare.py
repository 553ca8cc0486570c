"""Measures the agent beside other proxies, in turns on the same core: `python -m bench.compare`.

In every round each proxy is started fresh, warmed up, loaded and stopped, one after the other, so that all
meet the same machine within seconds of each other. The exit code is 1 when something failed or a request was
lost.
"""

import dataclasses
import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import click

from bench import load
from bench.load import WORKLOADS, LoadResult, Workload
from bench.peers import BACKEND, PEERS, Peer
from bench.processes import BenchError
from bench.results import (
    DIRECT,
    Sample,
    Samples,
    figures_table,
    losses,
    ratio_table,
    summary,
    with_added_latency,
)
from bench.stage import Stage, check_reply, missing, stage, version

WARM_UP_SECONDS = 1
REFERENCES = ("envoy", "envoy-full")
NAMES = (DIRECT, *(peer.name for peer in PEERS))


def measure(stage: Stage, peer: Peer, workload: Workload, seconds: int) -> Sample:
    """Start *peer*, load it and return what it cost. Raises BenchError when it fails."""
    with stage.proxy(peer) as proxy:
        check_reply(proxy.port, workload)
        idle = proxy.process.resident_bytes()
        load.run(workload, proxy.port, WARM_UP_SECONDS, core=stage.load_core, directory=stage.directory)
        before = proxy.process.cpu_seconds()
        result = load.run(workload, proxy.port, seconds, core=stage.load_core, directory=stage.directory)
        used = proxy.process.cpu_seconds() - before
        return {
            "cpu_us": used / result.requests * 1e6,
            **_seen_by_client(result),
            "idle_mb": idle / 1e6,
            "loaded_mb": proxy.process.resident_bytes() / 1e6,
            "ready_s": proxy.ready_seconds,
        }


def measure_direct(stage: Stage, workload: Workload, seconds: int) -> Sample:
    """The backend alone: what the load generator can see at best. Raises BenchError as `measure` does."""
    port = stage.backends[0]
    check_reply(port, workload)
    result = load.run(workload, port, seconds, core=stage.load_core, directory=stage.directory)
    return _seen_by_client(result)


def _seen_by_client(result: LoadResult) -> Sample:
    return {
        "errors": result.errors,
        "rate": result.requests / result.seconds,
        "p50_ms": result.p50_ms,
        "p99_ms": result.p99_ms,
        "p999_ms": result.p999_ms,
    }


def alternate(turns: Mapping[str, Callable[[], Sample]], rounds: int, say: Callable[[str], None]) -> Samples:
    """Take every turn once a round, A B C A B C, and keep what each showed."""
    samples: dict[str, list[Sample]] = {name: [] for name in turns}
    for number in range(1, rounds + 1):
        for name, turn in turns.items():
            sample = turn()
            samples[name].append(sample)
            cpu = f"{sample['cpu_us']:.1f} us CPU a request, " if "cpu_us" in sample else ""
            say(f"round {number} of {rounds}: {name}: {cpu}{sample['rate']:,.0f} requests/s")
    return samples


def chosen(only: str | None) -> list[str]:
    """The names to measure, in the order of NAMES; raises click.BadParameter for an unknown one."""
    if only is None:
        return list(NAMES)
    wanted = {name.strip() for name in only.split(",")}
    if unknown := sorted(wanted - set(NAMES)):
        raise click.BadParameter(f"{', '.join(unknown)}: not one of {', '.join(NAMES)}", param_hint="--only")
    return [name for name in NAMES if name in wanted]


def present(peers: Iterable[Peer], say: Callable[[str], None]) -> list[Peer]:
    """The *peers* that are installed; the others are named and left out."""
    here = []
    for peer in peers:
        if peer.find() is None:
            say(missing(peer))
        else:
            here.append(peer)
    return here


def report(samples: Samples) -> str:
    """The table of figures, and one of ratios for each reference that was measured."""
    parts = [figures_table(samples)]
    parts += [ratio_table(samples, reference) for reference in _references(samples)]
    return "\n\n".join(parts)


def _references(samples: Samples) -> list[str]:
    return [name for name in REFERENCES if name in samples]


def compare(names: list[str], workload: Workload, rounds: int, seconds: int) -> tuple[Samples, dict[str, str]]:
    """Measure what is here of *names*; the samples, and the version of each program."""
    peers = present((peer for peer in PEERS if peer.name in names), _say)
    if not peers:
        raise BenchError("nothing to measure")
    versions = {peer.name: version(peer) for peer in (BACKEND, *peers)}
    with stage() as here:
        turns: dict[str, Callable[[], Sample]] = {}
        if DIRECT in names:
            turns[DIRECT] = partial(measure_direct, here, workload, seconds)
        turns |= {peer.name: partial(measure, here, peer, workload, seconds) for peer in peers}
        samples = alternate(turns, rounds, _say)
    if DIRECT in samples and workload.rate is not None:
        samples = with_added_latency(samples)
    return samples, versions


def _say(text: str) -> None:
    click.echo(text, err=True)


def _line(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items())


@click.command()
@click.option("--workload", "kind", type=click.Choice(list(WORKLOADS)), default="small", show_default=True)
@click.option("--only", metavar="NAMES", help=f"Some of {','.join(NAMES)}.")
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 600), default=5, show_default=True, help="Of load, each time.")
@click.option("--connections", type=click.IntRange(1, 4096), help="Default: 32, for rate1000 10.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="All figures go there.")
def main(
    kind: str, only: str | None, rounds: int, seconds: int, connections: int | None, json_file: Path | None
) -> None:
    """Compare the agent with other proxies on this machine."""
    workload = WORKLOADS[kind]
    if connections is not None:
        workload = dataclasses.replace(workload, connections=connections)
    try:
        samples, versions = compare(chosen(only), workload, rounds, seconds)
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    run = {"workload": kind, "connections": workload.connections, "rounds": rounds, "seconds": seconds}
    machine = {"kernel": platform.release(), "cores": os.cpu_count(), "python": platform.python_version()}
    click.echo(f"{_line(run)}; {_line(machine)}\n{_line(versions)}\n\n{report(samples)}")
    if json_file is not None:
        facts = {"run": run, "machine": machine, "versions": versions}
        json_file.write_text(json.dumps(facts | summary(samples, _references(samples)), indent=2) + "\n")
    if lost := losses(samples):
        raise click.ClickException("not comparable: " + "; ".join(lost))


if __name__ == "__main__":
    main()
