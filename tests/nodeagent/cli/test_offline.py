"""Tables and names, worked out without an agent."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
import trio

import conf
from conf import AgentConfig
from namer.dtab import Dtab
from namer.path import Path as Name
from nodeagent.cli.offline import Resolver, discovery, table_of

ROUTER = """
routers:
- protocol: http
  dtab: /svc => /own
  {interpreter}
  bindingTimeoutMs: 200
  servers: [{{port: 0}}]
"""


def config(interpreter: str = "") -> AgentConfig:
    return conf.load(ROUTER.format(interpreter=interpreter), "agent.yaml")


async def test_a_table_of_the_configuration() -> None:
    settings = config()
    async with discovery(settings) as naming:
        assert (await table_of(naming, settings.routers[0])).show() == "/svc => /own"


async def test_a_table_in_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "dtab").write_text("/svc => /file")
    settings = config(f"interpreter: {{kind: io.l5d.fs, dtabFile: {tmp_path / 'dtab'}}}")
    async with discovery(settings) as naming:
        assert (await table_of(naming, settings.routers[0])).show() == "/svc => /file ; /svc => /own"


async def test_a_table_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    settings = config(f"interpreter: {{kind: io.l5d.fs, dtabFile: {tmp_path / 'none'}}}")
    async with discovery(settings) as naming:
        with pytest.raises(click.ClickException, match="none"):
            await table_of(naming, settings.routers[0])


async def test_names_are_explained_many_at_a_time() -> None:
    settings = config()
    async with discovery(settings) as naming:
        resolver = Resolver(naming)
        await resolver.read_tables(settings.routers)
        outcomes = []

        async def one(port: int) -> None:
            name = Name.parse(f"/svc/{port}")
            local = Dtab.parse("/own => /$/inet/127.0.0.1")
            outcomes.append((await resolver.explain(settings.routers[0], (name,), local)).outcome)

        async with trio.open_nursery() as nursery:
            for port in range(1, 200):
                nursery.start_soon(one, port)
        assert outcomes == ["bound"] * 199
