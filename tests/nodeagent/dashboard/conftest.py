"""One browser and one agent with traffic for all tests of the dashboard that do them no harm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nodeagent.dashboard.browser import Browser, chromium
from tests.nodeagent.dashboard.stage import SCRIPTS, Staged, staged


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="package")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    with staged(tmp_path_factory.mktemp("agent")) as found:
        for _ in range(30):
            assert found.ask("users") == 200
            assert found.ask("flaky") == 200
        assert found.ask("broken") == 502
        assert found.ask("split") == found.ask("spare") == 200
        for path in SCRIPTS:
            assert found.ask("users", path) == 200
        yield found
