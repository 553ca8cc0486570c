"""Reads a configuration for a command. An edge module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from conf import AgentConfig


def read_config(path: str) -> AgentConfig:
    """Read the configuration at `path`, "-" for standard input.

    When it cannot be used, prints each problem on stderr as `CONFIG:LINE:COL: KEY.PATH: message` and raises
    click.exceptions.Exit with the exit code 1.
    """
    import conf

    try:
        return conf.read(path)
    except conf.ConfigErrors as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        raise click.exceptions.Exit(1) from None
