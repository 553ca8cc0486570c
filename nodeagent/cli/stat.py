"""`nodeagent stat`: the numbers of a running agent, now."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict

import click

from nodeagent.cli.admin_client import AdminClient, NoAnswerError, admin_option, parsed
from nodeagent.cli.readings import Reading, Row, chosen, reading, rows
from nodeagent.cli.stat_text import render


@click.command()
@admin_option
@click.option("--router", metavar="LABEL", help="This router only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    help="How long is watched for rates and success.",
)
@click.option("--total", is_flag=True, help="Counts since the start of the agent in the place of rates.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
def command(admin: str, router: str | None, as_json: bool, seconds: float, total: bool, names: tuple[str, ...]) -> int:
    """Show the numbers of services, clients and endpoints now; of those with NAME in theirs, if it is given.

    req/s counts requests, tries/s the same with all retries, and budget says how many more retries there may be.
    Latencies are of the last minute. A client is a concrete name, below it stand its endpoints.
    """
    client = AdminClient(admin)
    if total:
        now = read(client)
        before = Reading(now.at - 1, {}, {}, {})  # a second long, so that rates are counts
    else:
        before = read(client)
        time.sleep(seconds)
        now = read(client)
    services, clients = (chosen(found, router, names) for found in rows(before, now))
    if as_json:
        shown = {"seconds": None if total else round(now.at - before.at, 3), "services": _json(services)}
        click.echo(json.dumps(shown | {"clients": _json(clients)}, indent=2))
    elif services or clients:
        click.echo(render(services, clients, totals=total))
    else:
        click.echo("there are no numbers of such names yet", err=True)
    return 0


def read(client: AdminClient) -> Reading:
    """Read the numbers of the agent now. Raises NoAnswerError."""
    metrics = parsed(client.get("/admin/metrics.json", {"tree": "1"}))
    state = parsed(client.get("/client_state.json", {}))
    try:
        return reading(time.perf_counter(), metrics, state)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise NoAnswerError("that is not the answer of an agent's admin port: its numbers are not all there") from None


def _json(found: Sequence[Row]) -> list[dict[str, object]]:
    return [asdict(row) for row in found]
