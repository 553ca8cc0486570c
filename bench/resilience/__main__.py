"""Runs the experiments, each proxy in its turn: `python -m bench.resilience`.

The exit code is 1 when something failed. A run that shows a proxy at its worst has not failed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from bench.processes import BenchError
from bench.resilience.figures import Figures
from bench.resilience.picture import picture
from bench.resilience.proxies import NAMES, VARIANTS, Variant, agent_from
from bench.resilience.report import report
from bench.resilience.run import measure, refusal
from bench.resilience.scenario import SCENARIOS, Scenario
from bench.stage import Ground, ground, missing, version

ATTEMPTS = 3


def among(text: str | None, known: Sequence[str], option: str) -> list[str]:
    """The names that *text* lists, in the order of *known*, all for None; raises click.BadParameter."""
    if text is None:
        return list(known)
    wanted = {name.strip() for name in text.split(",")}
    if unknown := sorted(wanted - set(known)):
        raise click.BadParameter(f"{', '.join(unknown)}: not one of {', '.join(known)}", param_hint=option)
    return [name for name in known if name in wanted]


def fitted(scenario: Scenario, quick: bool, seconds: float | None) -> Scenario:
    """The scenario in the length that is asked for."""
    scenario = scenario.quick() if quick else scenario
    return scenario if seconds is None else scenario.lasting(seconds)


def chosen(scenario: Scenario, names: Sequence[str], agent_path: Path | None) -> list[Variant]:
    """The variants to run, with the agent from *agent_path* if that is given."""
    variants = [variant for variant in VARIANTS[scenario.name] if variant.name in names]
    if agent_path is None:
        return variants
    find = partial(agent_from, agent_path)
    return [replace(it, peer=replace(it.peer, find=find)) if it.is_agent else it for it in variants]


def present(at: Ground, variants: Iterable[Variant]) -> list[Variant]:
    """Those that are installed and can be configured so; the others are named and left out."""
    here = []
    for variant in variants:
        if variant.peer.find() is None:
            _say(missing(variant.peer))
        elif variant.is_agent and (why := refusal(at, variant)):
            _say(f"{variant.name}: left out, this agent does not know it: {why}")
        else:
            here.append(variant)
    return here


def experiment(at: Ground, scenario: Scenario, variants: Iterable[Variant], attempts: int) -> dict[str, Figures]:
    """Run each variant and tell how it goes. Raises BenchError.

    One whose load was late is run again, *attempts* times in all at most; the least late counts.
    """
    results: dict[str, Figures] = {}
    for variant in variants:
        for _ in range(attempts):
            _say(f"{scenario.name}: {variant.name} ({variant.what})")
            it = measure(at, scenario, variant)
            results[variant.name] = min(it, results.get(variant.name, it), key=lambda it: it.late_p999_ms)
            if not it.too_late:
                break
            _say(f"{variant.name}: the load was late by {it.late_p999_ms:.0f} ms: this machine does something else")
    return results


def told(
    scenario: Scenario, variants: Sequence[Variant], results: Mapping[str, Figures], pictures: Path | None
) -> dict[str, object]:
    """Print what an experiment showed and draw it into the directory *pictures*; the same as plain values."""
    what = {variant.name: variant.what for variant in variants}
    click.echo(f"{report(scenario, results, what)}\n")
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        (pictures / f"resilience-{scenario.name}.svg").write_text(picture(scenario, results))
    figures = {name: dataclasses.asdict(it) for name, it in results.items()}
    return facts(variants) | {"seconds": scenario.seconds, "configured": what, "figures": figures}


def facts(variants: Iterable[Variant]) -> dict[str, object]:
    """What was run where."""
    versions = {variant.name: version(variant.peer) for variant in variants}
    machine = {"kernel": platform.release(), "cores": os.cpu_count(), "python": platform.python_version()}
    return {"machine": machine, "versions": versions}


def _say(text: str) -> None:
    click.echo(text, err=True)


@click.command()
@click.option("--experiment", "which", metavar="NAMES", help=f"Some of {','.join(SCENARIOS)}.")
@click.option("--only", metavar="NAMES", help=f"Some of {','.join(NAMES)}.")
@click.option("--seconds", type=click.FloatRange(2.0, 3600.0), help="Of counted load. Default: that of the experiment.")
@click.option("--quick", is_flag=True, help="A few seconds of each: does everything work? Its figures mean nothing.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="All figures go there.")
@click.option("--svg", type=click.Path(file_okay=False, path_type=Path), help="Pictures go there.")
@click.option(
    "--agent-path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take the agent's source from there, to compare it with another version's.",
)
def main(
    which: str | None,
    only: str | None,
    seconds: float | None,
    quick: bool,
    json_file: Path | None,
    svg: Path | None,
    agent_path: Path | None,
) -> None:
    """Show what callers see when endpoints become slow or fail, behind the agent and behind its peers."""
    scenarios = [fitted(SCENARIOS[name], quick, seconds) for name in among(which, list(SCENARIOS), "--experiment")]
    names = among(only, NAMES, "--only")
    everything: dict[str, object] = {}
    try:
        with ground() as at:
            for scenario in scenarios:
                variants = present(at, chosen(scenario, names, agent_path))
                if results := experiment(at, scenario, variants, 1 if quick else ATTEMPTS):
                    everything[scenario.name] = told(scenario, variants, results, svg)
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    if json_file is not None:
        json_file.write_text(json.dumps(everything, indent=2) + "\n")


if __name__ == "__main__":
    main()
