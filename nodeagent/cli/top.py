"""`nodeagent top`: a live table of what the services of a running agent do."""

from __future__ import annotations

import json
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import count

import click

from nodeagent.cli.admin_client import AdminClient, NoAnswerError, admin_option
from nodeagent.cli.readings import Row, chosen, rows
from nodeagent.cli.stat import read
from nodeagent.cli.top_table import View, lines


@click.command()
@admin_option
@click.option("--router", metavar="LABEL", help="This router only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for each reading.")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True, help="Between two readings."
)
@click.option("--count", "most", metavar="N", type=click.IntRange(1), help="End after so many readings.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
def command(
    admin: str, router: str | None, as_json: bool, seconds: float, most: int | None, names: tuple[str, ...]
) -> int:
    """Watch the services of a running agent, or those with NAME in theirs, in a live table.

    Keys sort it: n name, r requests, s success, l latency, e errors, t tries; the same key again the other way round.
    q or Ctrl-C ends it. Without a terminal, each reading is printed as lines.
    """
    watch = Watch(AdminClient(admin), seconds, router, names)
    try:
        if not as_json and sys.stdout.isatty() and sys.stdin.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            show(watch, most)
        else:
            for _ in range(most) if most else count():
                time.sleep(seconds)
                services, clients = watch.look()
                click.echo(_json(services, clients) if as_json else lines(services))
    except KeyboardInterrupt:
        pass
    return 0


class Watch:
    """Reads an agent again and again, and compares each reading with the one before."""

    def __init__(self, client: AdminClient, seconds: float, router: str | None, names: Sequence[str]) -> None:
        """Reads it for the first time. Raises NoAnswerError."""
        self.seconds = seconds
        self._client = client
        self._router = router
        self._names = names
        self._last = read(client)

    def look(self) -> tuple[list[Row], list[Row]]:
        """Return the services and clients with what happened since the last time. Raises NoAnswerError."""
        before, self._last = self._last, read(self._client)
        services, clients = (chosen(found, self._router, self._names) for found in rows(before, self._last))
        return services, clients


def show(watch: Watch, most: int | None) -> None:
    """Draw the table until q is pressed; an agent that goes away is waited for."""
    from rich.console import Console
    from rich.live import Live

    view, console = View(), Console()
    with _keys() as pressed, Live(console=console, auto_refresh=False, screen=True) as live:

        def draw() -> None:
            live.update(view.render(*console.size), refresh=True)

        draw()
        for _ in range(most) if most else count():
            due = time.perf_counter() + watch.seconds
            while (left := due - time.perf_counter()) > 0:
                key = pressed(left)
                if key == "q":
                    return
                view.press(key)
                draw()
            try:
                view.take(*watch.look())
            except NoAnswerError as error:
                view.problem = error.message
            draw()


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Give what waits so many seconds for a key, and returns it, "" for none. The terminal is as before at the end."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([terminal], [], [], seconds)
        if not ready:
            return ""
        data = os.read(terminal, 64)
        return data.decode("ascii", "replace")[:1] if data else "q"  # the terminal is gone

    tty.setcbreak(terminal)
    try:
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _json(services: Sequence[Row], clients: Sequence[Row]) -> str:
    return json.dumps({"services": [*map(asdict, services)], "clients": [*map(asdict, clients)]})
