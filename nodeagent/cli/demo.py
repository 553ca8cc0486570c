"""`nodeagent demo`: three services with their habits, the agent in front of them, load, and what comes of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from nodeagent.cli.tasks import run_tasks

if TYPE_CHECKING:
    from nodeagent.cli.demo_stage import Summary
    from nodeagent.cli.demo_table import ServiceRow

CONFIGURATION = """\
admin: {{ip: 127.0.0.1, port: {admin_port}, shutdownGraceMs: 1000}}
namers:
- kind: io.l5d.fs
  rootDir: {disco}
routers:
- protocol: http
  label: outgoing
  dtab: |
    /ph  => /$/io.buoyant.rinet ;
    /svc => /ph/80 ;
    /svc => /$/io.buoyant.porthostPfx/ph ;
    /svc => /#/io.l5d.fs ;
  service:
    responseClassifier: {{kind: io.l5d.http.retryableRead5XX}}
  servers: [{{port: {port}, ip: 127.0.0.1}}]
"""

INTRODUCTION = """\
The agent listens on {proxy}, its admin pages are on {admin}, and behind it are
  users      three instances that answer in 3 ms
  orders     two that answer in 5 ms, and one that takes 250 ms
  payments   three that answer in 4 ms, of which one fails half the time
See how little the slow and the failing one are asked, and that no call is lost. Try:
  curl -H 'Host: users' http://{proxy}/
  http_proxy=http://{proxy} curl http://payments/
  curl 'http://{admin}/explain.json?path=/svc/orders'
Ctrl-C ends it.
"""

PORT = click.IntRange(0, 65535)


@click.command()
@click.option("--seconds", type=click.FloatRange(0, 86400, min_open=True), help="End after so long; else with Ctrl-C.")
@click.option("--port", type=PORT, default=4140, show_default=True, help="Of the agent; 0 takes any free one.")
@click.option("--admin-port", type=PORT, default=9990, show_default=True, help="Of its pages; 0 takes any free one.")
def command(seconds: float | None, port: int, admin_port: int) -> int:
    """Show the agent at work, on loopback, with nothing else to install.

    Starts three small services, the agent in front of them, and some load, and shows what comes of it for each service
    and endpoint.
    """
    from nodeagent.listen import ListenError
    from nodeagent.telemetry import log

    if seconds is not None and isnan(seconds):  # which no range keeps out
        raise click.BadParameter("nan is no number of seconds", param_hint="--seconds")

    log.configure("error")  # a warning would run across the table
    with TemporaryDirectory(prefix="nodeagent-demo-") as directory:
        try:
            summary = run_tasks(play, Path(directory), port, admin_port, seconds)
        except ListenError as error:
            raise click.ClickException(f"{error} with --port or --admin-port (0 takes any free one)") from None
    click.echo(summary)
    return 0


async def play(directory: Path, port: int, admin_port: int, seconds: float | None) -> Summary:
    """Set everything up, with the files of the services in `directory`, and play. Raises ListenError and OSError."""
    import conf
    from nodeagent.cli.demo_services import open_services, write_discovery
    from nodeagent.cli.demo_stage import Stage

    rng = Random()
    instances = open_services(rng)
    write_discovery(directory, instances)
    text = CONFIGURATION.format(port=port, admin_port=admin_port, disco=json.dumps(str(directory)))
    return await Stage(conf.load(text, "demo"), instances, rng).run(seconds, _introduce, view)


@contextmanager
def view() -> Iterator[Callable[[float, Sequence[ServiceRow]], None]]:
    """Give what shows the figures at a time: a table that is drawn anew, or where no terminal is, a line each."""
    from nodeagent.cli.demo_table import line, table

    if not sys.stdout.isatty():
        yield lambda at, rows: click.echo(line(at, rows))
        return
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        yield lambda _, rows: live.update(table(rows), refresh=True)


def _introduce(proxy: str, admin: str) -> None:
    click.echo(INTRODUCTION.format(proxy=proxy, admin=admin))
