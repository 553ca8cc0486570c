"""The live table, without a terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nodeagent.cli.readings import EndpointState, Row
from nodeagent.cli.top_table import HISTORY, ORDERS, View, lines, sparkline


def row(
    name: str,
    rate: float,
    success: float | None = 1.0,
    p99: float | None = 5.0,
    failures: float = 0.0,
    router: str = "out",
    endpoints: tuple[EndpointState, ...] = (),
) -> Row:
    return Row(router, name, rate, success, 1.0, p99, rate, failures, 0, 100, 0, endpoints)


ROWS = [
    row("/svc/a", 1.0, 0.5, 2.0, 0.5),
    row("/svc/b", 300.0, 1.0, 9.0),
    row("/svc/c", 20.0, 0.9, 50.0, 2.0),
    row("/svc/d", 0.0, None, None),
]


def shown(view: View, width: int = 120, height: int = 20, *, colours: bool = False) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, color_system="standard" if colours else None)
    console.print(view.render(width, height))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def viewing(*found: Row, clients: tuple[Row, ...] = ()) -> View:
    view = View()
    view.take(found, clients)
    return view


@pytest.mark.parametrize(
    ("keys", "order"),
    [
        pytest.param("", "bcad", id="requests first"),
        pytest.param("n", "abcd", id="name"),
        pytest.param("nn", "dcba", id="the other way round"),
        pytest.param("nnn", "abcd", id="and back"),
        pytest.param("s", "acbd", id="who succeeds least first, and who was not asked last"),
        pytest.param("l", "cbad", id="latency"),
        pytest.param("e", "cabd", id="errors"),
        pytest.param("t", "bcad", id="tries"),
        pytest.param("sx", "acbd", id="a key that is none"),
    ],
)
def test_the_keys_sort(keys: str, order: str) -> None:
    view = viewing(*ROWS)
    for key in keys:
        view.press(key)
    assert "".join(each.name[-1] for each in view.sorted()) == order


@pytest.mark.parametrize(
    ("width", "header"),
    [
        (40, "service            req/s success    p99"),
        (60, "service                         req/s success    p50    p99"),
        (80, "service                    req/s success errors/s tries/s    p50    p99"),
    ],
)
def test_a_narrow_terminal_has_what_matters_most(width: int, header: str) -> None:
    found = shown(viewing(*ROWS), width)
    assert found[0].split() == header.split()
    assert all(len(line) <= width for line in found)
    assert found[1].startswith("/svc/b")


def test_a_low_terminal_says_how_many_more_there_are() -> None:
    view = viewing(*(row(f"/svc/{number:02}", 100 - number) for number in range(30)))
    found = shown(view, 80, 10)
    assert len(found) == 10
    assert found[1].startswith("/svc/00")
    assert found[-2] == "and 23 more"


def test_sparklines_of_the_past_where_there_is_room() -> None:
    view = View()
    for rate in (1.0, 4.0, 8.0):
        view.take([row("/svc/a", rate, p99=rate * 10)], ())
    assert shown(view, 120)[1].count("▂▅█") == 2
    for _ in range(HISTORY):
        view.take([row("/svc/a", 2.0)], ())
    assert shown(view, 120)[1].count("█" * HISTORY) == 2


@given(st.lists(st.floats(0, 1e9), max_size=40))
def test_a_sparkline_has_a_bar_for_each_value(values: list[float]) -> None:
    bars = sparkline(values)
    assert len(bars) == len(values)
    assert max(values, default=0) <= 0 or bars[values.index(max(values))] == "█"


def test_it_tells_who_is_out_and_what_is_wrong() -> None:
    dead = EndpointState("10.0.0.7:80", "dead", 0, 1.0, "answered 503")
    alive = EndpointState("10.0.0.8:80", "alive", 0, 1.0)
    view = viewing(*ROWS, clients=(row("/#/a", 1.0, endpoints=(alive, dead)), row("/#/b", 1.0, endpoints=(dead,))))
    assert "out: 10.0.0.7:80 dead, answered 503, and 1 more" in shown(view)
    view.problem = "no agent answers"
    assert "no agent answers" in shown(view)
    view.take(ROWS, ())
    assert not [line for line in shown(view) if line.startswith(("out:", "no agent"))]


def test_names_give_no_orders_and_routers_are_told_apart() -> None:
    found = "\n".join(shown(viewing(row("/svc/[red]x\x1b[2J", 1.0), row("/svc/y", 1.0, router="in"))))
    assert "out /svc/[red]x\\x1b[2J" in found
    assert "in /svc/y" in found


def test_colours_only_where_something_is_wrong() -> None:
    good, bad = (shown(viewing(row("/svc/a", 1.0, success)), colours=True)[1] for success in (1.0, 0.5))
    assert "\x1b[31m" in bad
    assert "\x1b[31m" not in good


def test_lines_without_a_terminal() -> None:
    assert lines(ROWS[:2]).splitlines() == [
        "out /svc/a 1.0/s 50.0% p50 1.0 ms p99 2.0 ms tries 1.0/s",
        "out /svc/b 300/s 100.0% p50 1.0 ms p99 9.0 ms tries 300/s",
    ]


def test_all_keys_are_told_of() -> None:
    last = shown(viewing(*ROWS), 200)[-1]
    assert all(f"{key} {title}" in last for key, (title, _) in ORDERS.items())
