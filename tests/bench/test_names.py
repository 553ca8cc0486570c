"""What the measurements of names are made of; none is taken here."""

from __future__ import annotations

import trio

import conf
from bench.names import CONFIG, Figure, bind_all, bind_seconds, directory, lines, lookup_seconds, table, update_seconds
from namer.path import Path
from nodeagent.agent import Agent


def test_a_table_has_a_dentry_for_each_name() -> None:
    dtab = table(100)
    assert len(dtab.dentries) == 100
    assert dtab.lookup(Path.parse("/svc/n99")) is not None


async def test_what_is_measured_is_names_that_are_bound() -> None:
    with directory(3) as root:
        agent = Agent(conf.load(CONFIG.format(root=root), "bench"))
        bindings = agent.routers[0].router.bindings
        names = [Path(("svc", f"n{number}")) for number in range(3)]
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.naming.run)
            await bindings.wait_dtab()
            await bind_all(bindings, names)
            assert all(bindings.service_nowait(name, None) for name in names)
            assert lookup_seconds(bindings, names) > 0
            assert update_seconds(bindings, 5) > 0
            updated = bindings.clients.named(Path.parse("/#/io.l5d.fs/n0"))
            assert updated is not None
            assert len(updated.balancer.nodes) == 5
            assert bind_seconds(10, agent) > 0
            nursery.cancel_scope.cancel()


def test_figures_for_people() -> None:
    heading, flat, single = lines([Figure("find a name", 2e-6, 3e-6)], {"KB of memory": 12.5})
    assert heading.split() == ["us", "few", "many", "ratio"]
    assert flat.split() == ["find", "a", "name", "2.00", "3.00", "1.50"]
    assert single.split() == ["KB", "of", "memory", "12.50"]
