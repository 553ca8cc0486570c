"""Namers from configuration: their prefixes, their order, and that nothing is asked before somebody wants it."""

from __future__ import annotations

import pathlib
import random

import trio

import conf
from namer.addr import AddrBound
from namer.binding import bind, shares
from namer.dtab import Dtab
from namer.namer import Pending
from namer.nametree import Leaf
from namer.path import Path
from nodeagent.naming import Naming


def naming(namers: str) -> Naming:
    config = conf.load(f"namers: {namers}\nrouters: [{{protocol: http, servers: [{{port: 0}}]}}]", "test")
    return Naming(config.namers, random.Random(1))


async def test_a_file_is_found_under_the_prefix_of_its_namer(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web").write_text("127.0.0.1 8080\n")
    made = naming(f"[{{kind: fs, rootDir: {tmp_path}}}]")
    dtab = Dtab.parse("/svc => /#/fs")

    async with trio.open_nursery() as nursery:
        await nursery.start(made.run)
        outcome = bind(Path.parse("/svc/web/x"), dtab, made.namers)
        assert isinstance(outcome.state, Pending)
        for cell in outcome.cells:
            cell.subscribe(_ignore)
            await cell.wait_changed(0)
        state = bind(Path.parse("/svc/web/x"), dtab, made.namers).state
        assert isinstance(state, Leaf)
        (share,) = shares(state)
        share.bound.addr.subscribe(_ignore)
        with trio.fail_after(5):
            while not isinstance(share.bound.addr.value, AddrBound):
                await share.bound.addr.wait_changed(share.bound.addr.version)
        nursery.cancel_scope.cancel()

    assert (share.bound.id.show(), share.bound.residual.show()) == ("/#/fs/web", "/x")
    assert [endpoint.show() for endpoint in share.bound.addr.value.endpoints] == ["127.0.0.1:8080"]


async def test_a_rewriting_namer_is_asked_with_the_others() -> None:
    made = naming('[{kind: io.l5d.rewrite, prefix: /x, pattern: "/{a}/b", name: "/y/{a}"}]')

    outcome = bind(Path.parse("/#/x/1/b"), Dtab.parse("/y/1 => /$/inet/127.0.0.1/1"), made.namers)

    assert [share.bound.id.show() for share in shares(outcome.state)] == ["/$/inet/127.0.0.1/1"]  # type: ignore[arg-type]
    assert [prefix.show() for prefix in made.prefixes] == ["/#/x"]


def _ignore() -> None: ...
