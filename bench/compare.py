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

from bench.catalogue import BENCHMARKS, Benchmark, requests
from bench.load import WORKLOADS
from bench.peers import BACKEND, PEERS, Peer
from bench.processes import BenchError
from bench.results import (
    DIRECT,
    Sample,
    Samples,
    brief,
    figures_table,
    losses,
    ratio_table,
    summary,
    summary_table,
    with_added_latency,
)
from bench.stage import Stage, missing, stage, version

REFERENCES = ("envoy", "envoy-full")
SUMMARY_REFERENCES = ("envoy-full", "haproxy", "nginx")
NAMES = (DIRECT, *(peer.name for peer in PEERS))
ALL_WITHOUT = "envoy"  # --all leaves it out: envoy-full is the one that does what the agent does

Turns = dict[str, Callable[[], Sample]]


def turns(here: Stage, benchmark: Benchmark, peers: Iterable[Peer], names: Iterable[str], seconds: int) -> Turns:
    """What is to be measured in every round, by name."""
    every: Turns = {}
    if DIRECT in names and benchmark.direct is not None:
        every[DIRECT] = partial(benchmark.direct, here, seconds)
    return every | {peer.name: partial(benchmark.measure, here, peer, seconds) for peer in peers}


def alternate(every: Mapping[str, Callable[[], Sample]], rounds: int, say: Callable[[str], None]) -> Samples:
    """Take every turn once a round, A B C A B C, and keep what each showed."""
    samples: dict[str, list[Sample]] = {name: [] for name in every}
    for number in range(1, rounds + 1):
        for name, turn in every.items():
            sample = turn()
            samples[name].append(sample)
            say(f"round {number} of {rounds}: {name}: {brief(sample)}")
    return samples


def chosen(only: str | None, *, everything: bool = False) -> list[str]:
    """The names to measure, in the order of NAMES; raises click.BadParameter for an unknown one."""
    if only is None:
        return [name for name in NAMES if not (everything and name == ALL_WITHOUT)]
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


def compare(here: Stage, benchmark: Benchmark, names: list[str], rounds: int, seconds: int) -> Samples:
    """Measure what is here of *names*. Raises BenchError when one of them fails, or none is here."""
    peers = present((peer for peer in benchmark.peers if peer.name in names), _say)
    if not peers:
        raise BenchError("nothing to measure")
    samples = alternate(turns(here, benchmark, peers, names, seconds), rounds, _say)
    return with_added_latency(samples) if DIRECT in samples and benchmark.steady else samples


def compare_all(
    here: Stage, benchmarks: Mapping[str, Benchmark], names: list[str], rounds: int, seconds: int
) -> tuple[dict[str, Samples], list[str]]:
    """One workload after the other; the samples of each, and a sentence for each that failed."""
    results: dict[str, Samples] = {}
    failures = []
    for name, benchmark in benchmarks.items():
        _say(f"-- {name}")
        try:
            results[name] = compare(here, benchmark, names, rounds, seconds)
        except BenchError as error:
            _say(str(error))
            failures.append(f"{name}: {error}")
    return results, failures


def _say(text: str) -> None:
    click.echo(text, err=True)


def _line(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items())


def _benchmarks(kind: str, *, everything: bool, connections: int | None) -> dict[str, Benchmark]:
    """What is to be measured. Raises click.BadParameter when *connections* do not go with it."""
    names = list(BENCHMARKS) if everything else [kind]
    if connections is None:
        return {name: BENCHMARKS[name] for name in names}
    if everything or kind not in WORKLOADS:
        raise click.BadParameter("only one workload of requests can have another number", param_hint="--connections")
    return {kind: requests(dataclasses.replace(WORKLOADS[kind], connections=connections))}


@click.command()
@click.option("--workload", "kind", type=click.Choice(list(BENCHMARKS)), default="small", show_default=True)
@click.option("--all", "everything", is_flag=True, help="Every workload, and a summary: about 20 minutes.")
@click.option("--only", metavar="NAMES", help=f"Some of {','.join(NAMES)}. Default: all; for --all not envoy.")
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 600), help="Of load, each time. Default: 5, for --all 3.")
@click.option("--connections", type=click.IntRange(1, 4096), help="Default: 32, for rate1000 10.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="All figures go there.")
def main(
    kind: str,
    everything: bool,
    only: str | None,
    rounds: int,
    seconds: int | None,
    connections: int | None,
    json_file: Path | None,
) -> None:
    """Compare the agent with other proxies on this machine."""
    names = chosen(only, everything=everything)
    benchmarks = _benchmarks(kind, everything=everything, connections=connections)
    seconds = seconds or (3 if everything else 5)
    try:
        with stage() as here:
            results, failures = compare_all(here, benchmarks, names, rounds, seconds)
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    run = {"rounds": rounds, "seconds": seconds}
    if connections is not None:
        run["connections"] = connections
    machine = {"kernel": platform.release(), "cores": os.cpu_count(), "python": platform.python_version()}
    versions = {peer.name: version(peer) for peer in (BACKEND, *PEERS) if peer is BACKEND or peer.name in names}
    click.echo(f"{_line(run)}; {_line(machine)}\n{_line(versions)}\n")
    for name, samples in results.items():
        click.echo(f"{name}\n\n{report(samples)}\n")
    if everything:
        headlines = {name: benchmarks[name].headline for name in results}
        click.echo(f"The agent beside the others\n\n{summary_table(results, headlines, SUMMARY_REFERENCES)}")
    if json_file is not None:
        facts = {"run": run, "machine": machine, "versions": versions, "failures": failures}
        workloads = {name: summary(samples, _references(samples)) for name, samples in results.items()}
        json_file.write_text(json.dumps(facts | {"workloads": workloads}, indent=2) + "\n")
    failures += [f"{name}: not comparable: {lost}" for name, samples in results.items() for lost in losses(samples)]
    if failures:
        raise click.ClickException("\n".join(failures))


if __name__ == "__main__":
    main()
