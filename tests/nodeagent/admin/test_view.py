"""The running agent is what the admin pages take it for."""

from __future__ import annotations

import random

import pytest

import conf
from nodeagent.admin.view import AgentView
from nodeagent.agent import Agent
from tests.nodeagent.admin.fakes import CONFIG, asking


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/ready", 503),
        ("/metrics", 200),
        ("/admin/metrics.json", 200),
        ("/config.json", 200),
        ("/names.json", 200),
        ("/bound-names.json", 200),
        ("/client_state.json", 200),
        ("/namer_state.json", 200),
        ("/explain.json?path=/$/inet/127.0.0.1/1", 200),
        ("/delegator.json?path=/$/inet/127.0.0.1/1", 200),
    ],
)
async def test_pages_of_a_real_agent_before_it_runs(path: str, status: int) -> None:
    agent: AgentView = Agent(conf.load(CONFIG.format(security="{}", more=""), "agent.yaml"), random.Random(7))
    async with asking(agent) as client:
        assert (await client.get(path)).status_code == status
