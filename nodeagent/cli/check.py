"""`nodeagent check`: whether a configuration can be run, and whether it does what it should, without binding a port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nodeagent.cli.config import check_rules, check_tls, read_config
from nodeagent.cli.tasks import run_tasks

if TYPE_CHECKING:
    from conf import AgentConfig
    from nodeagent.hints import Hint


@click.command()
@click.argument("config")
@click.option("--routes", metavar="FILE", help="Try the requests that this table lists, by what discovery says now.")
@click.option("--against", metavar="URL", help="Compare with the names in use by the agent with this admin port.")
@click.option("--json", "as_json", is_flag=True, help="With --against: print one JSON object.")
def command(config: str, routes: str | None, against: str | None, as_json: bool) -> int:
    """Check the configuration in the file CONFIG ("-" is standard input) and print all that is wrong.

    Everything is built as `run` builds it, but no port is bound and nobody is asked for anything. What is valid and
    hardly meant, such as a name in a dtab that leads nowhere, is a warning and does not count.

    With --routes or --against discovery is asked. The exit code is then 1 also when a request would not go where the
    table expects it, or when a name in use would change; each of these is printed.
    """
    if routes is not None and against is not None:
        raise click.UsageError("--routes and --against exclude each other: check one after the other")
    if as_json and against is None:
        raise click.UsageError("--json goes with --against")
    if routes == config == "-":
        raise click.UsageError("--routes -: the configuration is read from there already")
    settings = read_config(config)
    check_tls(settings)
    check_rules(settings)
    for hint in run_tasks(build, settings):
        click.echo(str(hint), err=True)
    if routes is not None:
        from nodeagent.cli.check_routes import check_routes

        return check_routes(settings, routes)
    if against is not None:
        from nodeagent.cli.check_against import check_against

        return check_against(settings, against, as_json=as_json)
    listeners = sum(len(router.servers) for router in settings.routers)
    origin = settings.origins.origin
    click.echo(f"{origin}: valid ({_count(len(settings.routers), 'router')}, {_count(listeners, 'listener')})")
    return 0


async def build(config: AgentConfig) -> list[Hint]:
    """Build the agent as `run` does, and let it go. Raises ValueError when that cannot be done."""
    from nodeagent.agent import Agent
    from nodeagent.endpointtls import endpoint_hints
    from nodeagent.hints import hints

    agent = Agent(config)
    return [*hints(config, agent.naming.builtins, agent.zone), *endpoint_hints(config, agent.contexts)]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
