"""The index page."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState, dtab_unusable
from namer.namer import PENDING
from nodeagent.admin import pages
from tests.nodeagent.admin.fakes import FakeAgent, a_table, asking


async def test_it_names_the_routers_with_their_listeners_and_tables() -> None:
    page = pages.index(FakeAgent(), "1.2.3")
    assert "<h1>nodeagent 1.2.3</h1>" in page
    assert "<td>outgoing</td><td>127.0.0.1:4140</td><td><pre>/svc =&gt; /#/io.l5d.fs</pre></td>" in page
    assert "<td>incoming</td><td>127.0.0.1:4141</td>" in page


async def test_what_an_operator_wrote_cannot_become_markup() -> None:
    agent = FakeAgent()
    agent.routers = (replace(agent.routers[0], label="<script>alert(1)</script>"),)
    agent.unready = "<b>later</b>"
    page = pages.index(agent, "0")
    assert "<script" not in page
    assert "&lt;b&gt;later&lt;/b&gt;" in page


async def test_a_long_table_is_shown_a_dentry_a_line() -> None:
    agent = FakeAgent()
    agent.routers = (agent.router("out", a_table(Dtab.parse("/a => /b ; /c => /d"))),)
    assert "<pre>/a =&gt; /b;\n/c =&gt; /d</pre>" in pages.index(agent, "0")


async def test_a_table_that_fails_is_not_shown_as_an_empty_one() -> None:
    agent = FakeAgent()
    unknown: DtabState = PENDING
    table = Cell(unknown)
    agent.routers = (agent.router("out", table),)
    assert "<pre>not known yet</pre>" in pages.index(agent, "0")
    dtab_unusable(table, "/etc/dtab: gone", 0.0)
    assert "<pre>none: /etc/dtab: gone</pre>" in pages.index(agent, "0")
    table.set(Dtab.parse("/a => /b"), 0.0)
    dtab_unusable(table, "/etc/dtab: gone", 0.0)
    assert "<pre>/a =&gt; /b\n\nthe last good one; since then: /etc/dtab: gone</pre>" in pages.index(agent, "0")


@pytest.mark.parametrize("path", [path for path, _ in pages.LINKS])
async def test_no_link_is_dead(path: str) -> None:
    agent = FakeAgent()
    async with asking(agent) as client:
        page = (await client.get("/")).text
        assert path in re.findall(r'href="([^"]+)"', page)
        assert (await client.get(path)).status_code == 200
