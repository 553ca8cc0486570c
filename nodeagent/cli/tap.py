"""`nodeagent tap`: the requests of a running agent as they go."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import click

from nodeagent.cli.admin_client import AdminClient, admin_option, parsed
from nodeagent.cli.tap_text import line


@click.command()
@admin_option
@click.option("--router", metavar="LABEL", help="Requests of this router only.")
@click.option("--limit", metavar="N", type=click.IntRange(1, 1_000_000), help="End after so many requests.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole record of each, one JSON object a line.")
@click.argument("filter_", metavar="[FILTER]", nargs=-1)
def command(admin: str, router: str | None, limit: int | None, as_json: bool, filter_: tuple[str, ...]) -> int:
    """Show requests as they go, each when it is over: those that FILTER wants.

    FILTER is terms that all have to hold: 'service=/svc/users status>=500'. Texts take = and !=, or ~ and !~ for a
    part, with * for anything: service, router, server, caller, method, host, path, url, client, endpoint, blame, error,
    classification, identity, id. Numbers take = != > >= < <=: status, ms, attempts, sent, received. Ctrl-C ends it.
    """
    client = AdminClient(admin)
    terms = [*filter_, *([f"router={'*'.join(router.split())}"] if router else [])]
    query = {"filter": " ".join(terms)} | ({"limit": str(limit)} if limit else {})
    try:
        for text in _lines(client, query, as_json=as_json):
            click.echo(text)  # flushes, so that who reads a pipe sees it at once
    except KeyboardInterrupt:
        pass
    return 0


def _lines(client: AdminClient, query: dict[str, str], *, as_json: bool) -> Iterator[str]:
    for kind, data in client.events("/tap", query):
        if kind == "message":
            record = parsed(data)
            yield json.dumps(record) if as_json else line(record)
        elif kind == "dropped":
            click.echo(f"{parsed(data)['dropped']} more were wanted, and are not shown: narrow the filter", err=True)
        elif kind == "missing":
            missing = parsed(data)["missing"]
            click.echo(f"not heard: {', '.join(missing)}" if missing else "all workers are heard again", err=True)
        elif data == b"watching" and sys.stderr.isatty():
            click.echo("watching; Ctrl-C ends it", err=True)
