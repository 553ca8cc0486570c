"""Numbers of services and clients as lines for people. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import click

from nodeagent.cli.readings import EndpointState, Row
from nodeagent.cli.tap_text import printable

SERVICES = ("service", "req/s", "success", "p50", "p99", "tries/s", "in flight", "budget")
CLIENTS = ("client", "req/s", "success", "p50", "p99", "", "in flight", "conns")
WELL = 0.99
"""Success from which on nothing is coloured."""


def render(services: Sequence[Row], clients: Sequence[Row], *, totals: bool) -> str:
    """By router, the services, then the clients with their endpoints; `totals`: counts in the place of rates."""
    routers = dict.fromkeys(row.router for row in (*services, *clients))
    return "\n\n".join(
        "\n".join(
            _router(
                router,
                [row for row in services if row.router == router],
                [row for row in clients if row.router == router],
                totals=totals,
            )
        )
        for router in routers
    )


def success(row: Row) -> str:
    """The part that succeeded, `-` where nothing was asked."""
    return "-" if row.success is None else f"{row.success:.1%}"


def latency(milliseconds: float | None) -> str:
    """A latency, `-` where there was none in the last minute."""
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def number(value: float) -> str:
    """A rate: with a decimal while it is small."""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _router(router: str, services: Sequence[Row], clients: Sequence[Row], *, totals: bool) -> Iterator[str]:
    yield click.style(f"router {printable(router)}", bold=True)
    show = "{:.0f}".format if totals else number
    lines: list[tuple[tuple[str, ...], Row | None, tuple[EndpointState, ...]]] = []
    for headings, rows in ((SERVICES, services), (CLIENTS, clients)):
        if rows:
            shown = [_without_per_second(each) for each in headings] if totals else headings
            lines.append((tuple(shown), None, ()))
            lines += [(_cells(row, show, is_service=headings is SERVICES), row, row.endpoints) for row in rows]
    widths = [max(len(cells[column]) for cells, _, _ in lines) for column in range(len(SERVICES))]
    for cells, row, endpoints in lines:
        text = "  ".join([cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])
        yield _coloured(text.rstrip(), row)
        yield from map(_endpoint, endpoints)


def _cells(row: Row, show: Callable[[float], str], *, is_service: bool) -> tuple[str, ...]:
    last = (show(row.attempts), str(row.pending), str(row.budget))
    if not is_service:
        last = ("", str(row.pending), str(row.connections))
    return (printable(row.name), show(row.rate), success(row), latency(row.p50), latency(row.p99), *last)


def _coloured(text: str, row: Row | None) -> str:
    if row is None:
        return click.style(text, dim=True)
    return click.style(text, fg="red") if row.success is not None and row.success < WELL else text


def _endpoint(state: EndpointState) -> str:
    health = click.style(state.health, fg="green" if state.health == "alive" else "red")
    error = f": {printable(state.error)}" if state.error else ""
    return f"  {printable(state.endpoint)}  {health}, {state.pending} in flight, load {state.load:.3g}{error}"


def _without_per_second(heading: str) -> str:
    return {"req/s": "requests", "tries/s": "tries"}.get(heading, heading)
