"""`python -m bench.soak`: half of what the agent can do, for minutes, while everything around it changes.

The exit code is 0 when memory is flat, nothing leaked and no error was the agent's fault, else 1.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
import trio

from bench.processes import BenchError
from bench.soak.run import Plan, Result, soak
from bench.soak.verdict import lines
from bench.stage import ground


def report(result: Result) -> str:
    """What callers saw, what was blamed on the agent, and the findings."""
    rows = [f"{count:10,}  {kind:24} {seen:24} {culprit}" for kind, seen, culprit, count in result.ledger.rows()]
    blamed = [f"blamed on the agent: {detail}" for detail in result.ledger.details]
    return "\n".join(["", *rows, "", *blamed, *lines(result.findings)])


def texts(group: BaseExceptionGroup[BaseException]) -> list[str]:
    """What each error in it says."""
    return [
        text
        for error in group.exceptions
        for text in (texts(error) if isinstance(error, BaseExceptionGroup) else [str(error)])
    ]


@click.command()
@click.option("--minutes", type=click.FloatRange(0.1, 24 * 60), default=10.0, show_default=True)
@click.option("--rate", type=click.IntRange(100), help="Requests/s of the steady load. Default: half of the capacity.")
@click.option("--workers", type=click.IntRange(1, 1000), default=24, show_default=True, help="Callers that change.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="All samples go there.")
def main(minutes: float, rate: int | None, workers: int, json_file: Path | None) -> None:
    """Load the agent for long, and say whether it stayed as it was."""
    failed: list[str] = []
    try:
        with ground() as here:
            result = trio.run(soak, here, Plan(minutes * 60, rate, workers), lambda text: click.echo(text, err=True))
    except* BenchError as group:
        failed = texts(group)
    if failed:
        raise click.ClickException("\n".join(failed))
    click.echo(report(result))
    if json_file is not None:
        facts = {
            "samples": [asdict(sample) for sample in result.samples],
            "seen": list(result.ledger.rows()),
            "findings": [asdict(finding) for finding in result.findings],
        }
        json_file.write_text(json.dumps(facts, indent=2) + "\n")
    if not all(finding.well for finding in result.findings):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
