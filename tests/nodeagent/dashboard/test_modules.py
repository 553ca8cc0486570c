"""What the dashboard works out by itself: quantiles, rates, where delegations lead, differences of tables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.nodeagent.dashboard.browser import Browser, Page, needs_chromium
from tests.nodeagent.dashboard.stage import Staged

pytestmark = [pytest.mark.e2e, needs_chromium]


@pytest.fixture
def page(browser: Browser, agent: Staged) -> Page:
    return browser.open(agent.url)


def call(page: Page, module: str, script: str, *arguments: Any) -> Any:
    """What a function of (module, ...arguments) returns in the page."""
    given = "".join(f", {json.dumps(each)}" for each in arguments)
    return page.value(f"import('/static/{module}').then((it) => ({script})(it{given}))")


def summary(count: int, *quantiles: float) -> dict[str, float]:
    names = ("min", "p50", "p90", "p95", "p99", "p9990", "max")
    return {"stat.count": count} | {f"stat.{name}": value for name, value in zip(names, quantiles, strict=True)}


FAST = summary(900, 1, 2, 3, 4, 5, 6, 7)
SLOW = summary(100, 100, 200, 300, 400, 500, 600, 700)


@pytest.mark.parametrize(
    ("summaries", "part", "expected"),
    [
        ([FAST], 0.5, 2),
        ([FAST], 0.99, 5),
        ([FAST, FAST], 0.99, 5),
        ([FAST, SLOW], 0.5, 2.1),  # the fast ones' 5/9
        ([FAST, SLOW], 0.99, 300),  # the slow ones' p90
    ],
)
def test_quantiles_of_several_services_together(
    page: Page, summaries: list[dict[str, float]], part: float, expected: float
) -> None:
    found = call(page, "numbers.js", "(it, summaries, part) => it.quantile(summaries, part)", summaries, part)
    assert found == pytest.approx(expected, rel=0.02)


def test_rates_are_of_what_was_counted_and_begin_anew_with_the_agent(page: Page) -> None:
    script = """(it, points) => {
      const counted = new it.Counted();
      return points.map(([at, requests]) => { counted.add({ at, requests }); return counted.rate(); });
    }"""
    points = [[0, 100], [2, 120], [4, 120], [30, 120], [32, 5], [34, 25]]
    assert call(page, "numbers.js", script, points) == [None, 10, 5, 0, None, 10]


def leaf(name: str, *addresses: int) -> dict[str, Any]:
    addr = {"type": "bound", "addrs": [{"ip": "10.0.0.1", "port": port, "meta": {}} for port in addresses]}
    return {
        "type": "leaf",
        "path": name,
        "bound": {"id": name, "path": "/", "addr": addr if addresses else {"type": "neg"}},
    }


def alt(*below: Any) -> dict[str, Any]:
    return {"type": "alt", "path": "/alt", "alt": below}


def union(*below: tuple[float, Any]) -> dict[str, Any]:
    return {"type": "union", "path": "/union", "union": [{"weight": weight, "tree": tree} for weight, tree in below]}


GONE, NEG, FAIL = leaf("/gone"), {"type": "neg", "path": "/neg"}, {"type": "fail", "path": "!"}


@pytest.mark.parametrize(
    ("tree", "shares"),
    [
        (leaf("/a", 1), {"/a": 1}),
        (alt(NEG, GONE, leaf("/a", 1), leaf("/b", 1)), {"/a": 1}),
        (alt(FAIL, leaf("/a", 1)), {"refused": 1}),
        (alt(NEG, GONE), {}),
        (union((3, leaf("/a", 1)), (1, leaf("/b", 1))), {"/a": 0.75, "/b": 0.25}),
        (union((3, GONE), (1, leaf("/b", 1))), {"/b": 1}),
        (union((1, alt(GONE, leaf("/a", 1))), (1, leaf("/a", 1))), {"/a": 1}),
        ({"type": "delegate", "path": "/x", "delegate": alt(union((1, GONE)), leaf("/b", 1))}, {"/b": 1}),
    ],
)
def test_where_a_delegation_leads(page: Page, tree: dict[str, Any], shares: dict[str, float]) -> None:
    script = "(it, tree) => Object.fromEntries(it.targets(it.judged(tree, it.byName)))"
    assert call(page, "tree.js", script, tree) == shares


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("/a => /b ; /c => /d", "/a  =>  /b ;\n/c => /d ; # the same", [" /a => /b", " /c => /d"]),
        ("/a => /#/b ; /c => /d", "/c => /d ; /a => /#/b", ["-/a => /#/b", " /c => /d", "+/a => /#/b"]),
        ("", "/a => /b", ["+/a => /b"]),
    ],
)
def test_how_a_table_was_changed(page: Page, before: str, after: str, changes: list[str]) -> None:
    script = "(it, before, after) => it.lineChanges(before, after).map((each) => each.join(''))"
    assert call(page, "playground.js", script, before, after) == changes
