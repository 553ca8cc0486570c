"""Looks for bytes that break a target, guided by coverage: `python -m tests.fuzz TARGET... --seconds 60`.

Begins with `corpus/TARGET`; what it learns on the way is kept in `build/fuzz/TARGET`, and what breaks a target is
written there as `crash-...`. A crash that is understood belongs into the corpus: the ordinary tests repeat it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

HERE = Path(__file__).parent
BUILD = Path("build/fuzz")
LONGEST = 4096
"""Bytes of one input."""


@click.command()
@click.argument("targets", nargs=-1)
@click.option("--seconds", type=click.IntRange(1, 86_400), default=60, show_default=True, help="For each target.")
def main(targets: tuple[str, ...], seconds: int) -> None:
    """Fuzz TARGETS, one after the other; all of them, unless some are named."""
    from tests.fuzz.targets import TARGETS

    if unknown := set(targets) - set(TARGETS):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: not one of {', '.join(TARGETS)}")
    broken = []
    for target in targets or TARGETS:
        found = BUILD / target
        found.mkdir(parents=True, exist_ok=True)
        options = (f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-artifact_prefix={found}/", "-timeout=10")
        seeds = str(HERE / "corpus" / target)
        command = (sys.executable, str(HERE / "search.py"), target, str(found), seeds, *options)
        click.echo(f"--- {target}, {seconds} s", err=True)
        if subprocess.run(command, check=False).returncode:
            broken.append(target)
    if broken:
        raise click.ClickException(f"broken: {', '.join(broken)}; see {BUILD}")


if __name__ == "__main__":
    main()
