"""`nodeagent check`: whether a configuration can be run, without binding a port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nodeagent.cli.config import read_config
from nodeagent.cli.tasks import run_tasks

if TYPE_CHECKING:
    from conf import AgentConfig


@click.command()
@click.argument("config")
def command(config: str) -> int:
    """Check the configuration in the file CONFIG ("-" is standard input) and print all that is wrong.

    Everything is built as `run` builds it, but no port is bound and nobody is asked for anything.
    """
    settings = read_config(config)
    run_tasks(build, settings)
    listeners = sum(len(router.servers) for router in settings.routers)
    origin = settings.origins.origin
    click.echo(f"{origin}: valid ({_count(len(settings.routers), 'router')}, {_count(listeners, 'listener')})")
    return 0


async def build(config: AgentConfig) -> None:
    """Build the agent as `run` does, and let it go. Raises ValueError when that cannot be done."""
    from nodeagent.agent import Agent

    Agent(config)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
