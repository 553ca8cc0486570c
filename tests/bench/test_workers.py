"""The agent with several workers, as it is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

import conf
from bench import workers
from bench.load import WORKLOADS
from bench.peers import Site


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_configuration_has_so_many_workers_and_is_valid(count: int, tmp_path: Path) -> None:
    text = workers.agent(count).files(Site(tmp_path, 4140, 9990, (8081, 8082)))["agent.yaml"]

    assert conf.load(text, "agent.yaml").workers == count


def test_each_worker_has_the_load_of_one_alone() -> None:
    assert workers.load("small", 1) == WORKLOADS["small"]
    assert workers.load("small", 2).connections == 64
    assert (workers.load("rate1000", 4).rate, workers.load("rate1000", 4).connections) == (4000, 40)
