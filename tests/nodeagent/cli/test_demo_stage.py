"""The whole demo in this process, on free ports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

import conf
from nodeagent.cli.demo import CONFIGURATION
from nodeagent.cli.demo_load import Tally
from nodeagent.cli.demo_services import open_services, write_discovery
from nodeagent.cli.demo_stage import Stage, Summary
from nodeagent.cli.demo_table import ServiceRow
from nodeagent.cli.tasks import run_tasks


@pytest.mark.e2e
def test_all_that_can_be_saved_is_saved(tmp_path: Path) -> None:
    introduced: list[tuple[str, str]] = []
    shown: list[Sequence[ServiceRow]] = []

    @contextmanager
    def view() -> Iterator[object]:
        yield lambda _, rows: shown.append(rows)

    async def play() -> Summary:
        instances = open_services(Random(1))
        write_discovery(tmp_path, instances)
        config = conf.load(CONFIGURATION.format(port=0, admin_port=0, disco=tmp_path), "demo")
        stage = Stage(config, instances, Random(1))
        return await stage.run(2.5, lambda *addresses: introduced.append(addresses), view)  # type: ignore[arg-type]

    summary = run_tasks(play)

    assert (summary.tally.failed, summary.tally.lost) == (0, 0)
    assert len(introduced) == 1
    assert all(address.startswith("127.0.0.1:") for address in introduced[0])
    assert [row.name for row in shown[-1]] == ["users", "orders", "payments"]
    assert [len(row.endpoints) for row in shown[-1]] == [3, 3, 3]
    assert all(row.requests > 0 for row in shown[-1])
    slow = shown[-1][1].endpoints[2]
    assert slow.share < 0.2


def test_the_summary_is_what_the_callers_saw() -> None:
    summary = Summary(Tally(answered=10, failed=2, lost=1), 3)

    assert str(summary) == "11 requests: 8 succeeded, 2 failed, 1 lost; retries: 3"
