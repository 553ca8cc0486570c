"""A source that goes away, seen from outside: what is said of its answers, and what becomes of requests."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from namer.fs import MAX_FILE_BYTES
from tests.nodeagent.cli.processes import PATIENCE, Process, backend, fetch, ports, started

CONFIG = """
admin: {{port: 0}}
namers: [{{kind: io.l5d.fs, rootDir: "{root}", maxStaleSecs: 1, whenStale: {what}}}]
routers:
- protocol: http
  label: outgoing
  dtab: /svc => /#/io.l5d.fs
  servers: [{{port: 0}}]
"""


class Story:
    """An agent with one name, whose file can be spoilt and mended."""

    def __init__(self, agent: Process, file: Path, upstream: int) -> None:
        found = ports(agent, listeners=2)
        self._port, self._admin = found["router outgoing"], found["admin"]
        self._file, self._upstream = file, upstream

    def mend(self) -> None:
        self._file.write_text(f"127.0.0.1 {self._upstream}\n")

    def spoil(self) -> None:
        self._file.write_text("#" * (MAX_FILE_BYTES + 1))

    def status(self) -> int:
        return fetch(self._port, "web")[0].status

    def why(self) -> str:
        return fetch(self._port, "web")[1]

    def address(self) -> dict[str, object]:
        states = json.loads(fetch(self._admin, "127.0.0.1", "/namer_state.json")[1])
        return next(state for state in states if (state["what"], state["name"]) == ("address", "/web"))

    def metric(self, name: str) -> float:
        page = fetch(self._admin, "127.0.0.1", "/metrics")[1]
        return next(float(line.split()[1]) for line in page.splitlines() if line.startswith(f"nodeagent_{name}{{"))

    def explained(self) -> dict[str, object]:
        [leaf] = json.loads(fetch(self._admin, "127.0.0.1", "/explain.json?path=/svc/web")[1])["bound"]
        return leaf  # type: ignore[no-any-return]


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE / 2
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


@pytest.fixture
def story(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Story]:
    """The parameter says what happens to answers that are stale."""
    (tmp_path / "disco").mkdir()
    config = tmp_path / "agent.yaml"
    config.write_text(CONFIG.format(root=tmp_path / "disco", what=request.param))
    with backend(lambda _: (200, "here")) as upstream:
        (tmp_path / "disco/web").write_text(f"127.0.0.1 {upstream}\n")
        with started("run", str(config)) as agent:
            yield Story(agent, tmp_path / "disco/web", upstream)
            agent.signal(signal.SIGTERM)
            agent.end()


@pytest.mark.e2e
@pytest.mark.parametrize("story", ["flag"], indirect=True)
def test_overdue_answers_are_flagged_and_used(story: Story) -> None:
    assert story.status() == 200
    story.spoil()

    until(lambda: story.address()["overdue"])

    state = story.address()
    assert (story.status(), state["state"], state["endpoints"]) == (200, "bound", 1)
    assert isinstance(state["stale"], float)
    assert state["stale"] > 1
    assert story.metric("namer_overdue_answers") == 1
    assert story.metric("namer_staleness_seconds") > 1
    leaf = story.explained()
    assert (leaf["addr"], "larger than" in str(leaf["error"]), leaf["version"]) == ("bound", True, 1)


@pytest.mark.e2e
@pytest.mark.parametrize("story", ["refuse"], indirect=True)
def test_overdue_answers_are_refused_until_the_source_answers_again(story: Story) -> None:
    assert story.status() == 200
    story.spoil()

    until(lambda: story.status() != 200)

    assert story.address()["state"] == "failed"
    assert "maxStaleSecs is 1: " in story.why()
    assert "maxStaleSecs is 1: " in str(story.explained()["error"])

    story.mend()
    until(lambda: story.status() == 200)
    assert (story.address()["overdue"], story.metric("namer_overdue_answers")) == (False, 0)
