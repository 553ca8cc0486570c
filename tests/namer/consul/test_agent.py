"""What Consul calls its services."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from namer.cell import Cell
from namer.consul.agent import Agent, follow_agent
from namer.report import Report
from tests.namer.consul.fake import FakeConsul, refuses, reply


@pytest.mark.parametrize(
    ("datacenter", "service", "tag", "authority"),
    [
        ("dc2", "web", None, "web.service.dc2.consul"),
        (".local", "web", "v2", "v2.web.service.dc1.consul"),
        ("dc2", "a b", None, None),
        ("dc2\r\nX: y", "web", None, None),
    ],
)
def test_the_name_of_a_service(datacenter: str, service: str, tag: str | None, authority: str | None) -> None:
    assert Agent("dc1", "consul").authority(datacenter, service, tag) == authority


@pytest.mark.parametrize(
    ("said", "agent"),
    [
        ({"Config": {"Datacenter": "dc1"}, "DebugConfig": {"DNSDomain": "corp."}}, Agent("dc1", "corp")),
        ({"Config": {"Datacenter": "dc1", "Domain": ".old."}}, Agent("dc1", "old")),
        ({"Config": {"Datacenter": "dc1"}}, Agent("dc1", "consul")),
    ],
)
async def test_what_the_agent_says(said: object, agent: Agent, autojump_clock: MockClock) -> None:
    fake = FakeConsul(trouble=lambda: reply(said))
    cell: Cell[Report[Agent]] = Cell(Report(None))
    await follow_agent(fake.consul(), cell)

    assert cell.value == Report(agent)


async def test_it_is_asked_until_it_answers(autojump_clock: MockClock) -> None:
    fake = FakeConsul(trouble=refuses)
    cell: Cell[Report[Agent]] = Cell(Report(None))
    with trio.move_on_after(60):
        await follow_agent(fake.consul(), cell)
    assert cell.value.problem
    fake.trouble = None
    with trio.fail_after(6):
        await follow_agent(fake.consul(), cell)

    assert (cell.value.answer, cell.error) == (Agent("dc1", "consul"), None)
