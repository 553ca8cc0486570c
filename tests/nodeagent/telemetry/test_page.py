"""docs/metrics.md has every metric, and no page tells of one that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.nodeagent.telemetry.page import page

DOCS = Path(__file__).parents[3] / "docs"
NAMES = set(re.findall(r"`((?:nodeagent|process)_\w+)`", page()))
PAGES = sorted(path.name for path in DOCS.glob("*.md"))


def test_the_page_is_the_one_that_is_counted() -> None:
    assert (DOCS / "metrics.md").read_text() == page(), "python -m tests.nodeagent.telemetry.page > docs/metrics.md"


@pytest.mark.parametrize("name", PAGES)
def test_every_metric_that_a_page_tells_of_is_one_of_the_agent(name: str) -> None:
    told = set(re.findall(r"(?<![:\w])nodeagent_[a-z_]+(?![:\w*])", (DOCS / name).read_text()))

    assert {re.sub("_(bucket|sum|count)$", "", each) for each in told} <= NAMES
