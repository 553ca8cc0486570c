"""The live table of `nodeagent top`: what was read, in an order, as wide and as high as there is room. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from nodeagent.cli.readings import EndpointState, Row
from nodeagent.cli.stat_text import WELL, latency, number, success
from nodeagent.cli.tap_text import printable

if TYPE_CHECKING:
    from rich.console import Group

HISTORY: Final = 20
"""Readings that a sparkline shows."""
BARS: Final = "▁▂▃▄▅▆▇█"

ORDERS: Final[dict[str, tuple[str, Callable[[Row], Any]]]] = {
    "n": ("name", lambda row: (row.router, row.name)),
    "r": ("req/s", lambda row: -row.rate),
    "s": ("success", lambda row: 2.0 if row.success is None else row.success),
    "l": ("p99", lambda row: -(row.p99 or 0.0)),
    "e": ("errors/s", lambda row: -row.failures),
    "t": ("tries/s", lambda row: -row.attempts),
}
"""The keys, what each sorts by, and how: what deserves a look first."""

_COLUMNS: Final = (
    # title, from which width of the terminal, how it is shown
    ("req/s", 0, lambda row: number(row.rate)),
    ("success", 0, success),
    ("errors/s", 70, lambda row: number(row.failures)),
    ("tries/s", 80, lambda row: number(row.attempts)),
    ("p50", 55, lambda row: latency(row.p50)),
    ("p99", 0, lambda row: latency(row.p99)),
    ("budget", 120, lambda row: str(row.budget)),
)
_SPARKS: Final = 95
"""The width from which there is room for sparklines."""


@dataclass(slots=True)
class Past:
    """The last values of one service."""

    rate: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))
    p99: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))


class View:
    """What is shown, and in which order: the services that were read last, and their past."""

    def __init__(self) -> None:
        self.services: Sequence[Row] = ()
        self.clients: Sequence[Row] = ()
        self.problem: str | None = None
        """Why there is nothing newer."""
        self._key = "r"
        self._reversed = False
        self._past: dict[tuple[str, str], Past] = {}

    def take(self, services: Sequence[Row], clients: Sequence[Row]) -> None:
        """Show these from now on."""
        self.services, self.clients, self.problem = services, clients, None
        self._past = {(row.router, row.name): self._past.get((row.router, row.name), Past()) for row in services}
        for row in services:
            past = self._past[row.router, row.name]
            past.rate.append(row.rate)
            past.p99.append(row.p99 or 0.0)

    def press(self, key: str) -> None:
        """Sort by what a key stands for; a second time, the other way round. Other keys do nothing."""
        if key in ORDERS:
            self._reversed = key == self._key and not self._reversed
            self._key = key

    def sorted(self) -> list[Row]:
        """The services in their order."""
        return sorted(sorted(self.services, key=ORDERS["n"][1]), key=ORDERS[self._key][1], reverse=self._reversed)

    def render(self, width: int, height: int) -> Group:
        """Everything, for a terminal of that size."""
        from rich.console import Group
        from rich.text import Text

        foot = list(self.foot())
        room = max(1, height - len(foot) - 1)
        found = self.sorted()
        more = [f"and {len(found) - room + 1} more"] if len(found) > room else []
        shown = found[: room - len(more)]
        lines = [Text(printable(line), style=style, overflow="ellipsis", no_wrap=True) for line, style in foot]
        return Group(self._table(shown, width), *(Text(line, style="dim") for line in more), *lines)

    def foot(self) -> Iterator[tuple[str, str]]:
        """The lines below the table, each with its style."""
        if self.problem is not None:
            yield self.problem, "red"
        if out := _out(self.clients):
            first = out[0]
            others = f", and {len(out) - 1} more" if len(out) > 1 else ""
            yield f"out: {first.endpoint} {first.health}{f', {first.error}' if first.error else ''}{others}", "red"
        order = f"{ORDERS[self._key][0]}{', reversed' if self._reversed else ''}"
        yield f"sorted by {order};  {'  '.join(f'{key} {title}' for key, (title, _) in ORDERS.items())}  q quit", "dim"

    def _table(self, shown: Sequence[Row], width: int) -> Any:
        from rich.table import Table
        from rich.text import Text

        several = len({row.router for row in self.services}) > 1
        columns = [each for each in _COLUMNS if width >= each[1]]
        drawn = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", expand=True)
        drawn.add_column("service", ratio=1, no_wrap=True, overflow="ellipsis")
        for title, _, _ in columns:
            drawn.add_column(title, justify="right", no_wrap=True)
        if sparks := width >= _SPARKS:
            drawn.add_column("req/s", no_wrap=True, width=HISTORY)
            drawn.add_column("p99", no_wrap=True, width=HISTORY)
        for row in shown:
            name = printable(f"{row.router} {row.name}" if several else row.name)
            bad = row.success is not None and row.success < WELL
            cells = [name, *(show(row) for _, _, show in columns)]
            if sparks:
                past = self._past[row.router, row.name]
                cells += [sparkline(past.rate), sparkline(past.p99)]
            drawn.add_row(*(Text(cell, style="red" if bad else "") for cell in cells))
        return drawn


def sparkline(values: Iterable[float]) -> str:
    """The values as bars, the highest of them full; none at all as spaces."""
    found = list(values)
    most = max(found, default=0.0)
    if most <= 0:
        return " " * len(found)
    return "".join(" " if value <= 0 else BARS[min(7, int(value / most * 8))] for value in found)


def lines(services: Sequence[Row]) -> str:
    """A line for each service, where there is no terminal."""
    return "\n".join(
        f"{printable(row.router)} {printable(row.name)} {number(row.rate)}/s {success(row)} p50 {latency(row.p50)}"
        f" p99 {latency(row.p99)} tries {number(row.attempts)}/s"
        for row in services
    )


def _out(clients: Sequence[Row]) -> list[EndpointState]:
    return [state for row in clients for state in row.endpoints if state.health != "alive"]
