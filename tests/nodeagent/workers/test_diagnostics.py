"""Log levels, warnings and profiles of several workers: one page for all of them, and for those that come later."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.nodeagent.cli.processes import backend, fetch
from tests.nodeagent.workers.running import CONFIG, Agent, eventually, running
from tests.nodeagent.workers.test_e2e import hello

pytestmark = pytest.mark.e2e


def post(agent: Agent, target: str, **headers: str) -> tuple[int, Any]:
    response, body = fetch(agent.admin, f"127.0.0.1:{agent.admin}", target, method="POST", headers=headers)
    return response.status, json.loads(body)


def level(agent: Agent, logger: str, worker: int | None = None) -> str:
    listed = agent.json("/logging.json" if worker is None else f"/logging.json?worker={worker}")
    found: str = next(each["level"] for each in listed if each["logger"] == logger)
    return found


def test_a_level_is_changed_in_all_workers_and_in_who_takes_the_place_of_one(tmp_path: Path) -> None:
    with backend(hello) as port, running(tmp_path, CONFIG.format(workers=2, backend=port)) as agent:
        assert post(agent, "/logging.json?logger=nodeagent.bind&level=loud")[0] == 400
        assert post(agent, "/logging.json?logger=root&level=debug", Origin="http://evil.org")[0] == 403
        status, changed = post(agent, "/logging.json?logger=nodeagent.bind&level=debug&minutes=5")
        assert (status, changed["level"]) == (200, "DEBUG")
        assert [level(agent, "nodeagent.bind", worker) for worker in (None, 0, 1)] == ["DEBUG"] * 3
        assert [level(agent, "nodeagent.dial", worker) for worker in (None, 0, 1)] == ["INFO"] * 3

        old = agent.pids()[0]
        os.kill(old, signal.SIGKILL)
        assert eventually(lambda: len(agent.pids()) == 2 and agent.pids()[0] != old)
        assert eventually(lambda: fetch(agent.admin, "127.0.0.1", "/ready")[0].status == 200)

        assert [level(agent, "nodeagent.bind", worker) for worker in (0, 1)] == ["DEBUG"] * 2
        assert [line["event"] for line in agent.json("/log.json")] == ["a worker has ended and is replaced"]

        assert post(agent, "/logging.json?logger=nodeagent.bind&level=default")[0] == 200
        assert [level(agent, "nodeagent.bind", worker) for worker in (None, 0, 1)] == ["INFO"] * 3


def test_a_profile_is_of_all_workers_or_of_one(tmp_path: Path) -> None:
    with backend(hello) as port, running(tmp_path, CONFIG.format(workers=2, backend=port)) as agent:
        with ThreadPoolExecutor(3) as pool:
            asked = pool.submit(agent.page, "/profile?seconds=2")
            deadline = time.monotonic() + 2
            while time.monotonic() < deadline:
                agent.get("/x")
            stacks = asked.result().splitlines()
        assert {stack.partition(";")[0] for stack in stacks} == {"worker 0", "worker 1"}
        assert any("nodeagent.proxy.conversation" in stack for stack in stacks)
        assert agent.page("/profile?seconds=0.2&worker=1&format=top").startswith(tuple("0123456789"))
        assert agent.json("/heap.json?worker=1")["objects"] > 100
