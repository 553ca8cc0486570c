"""docs/conformance.md says what the tables say, and every test that it rests on is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conformance.held import HELD
from tests.conformance.page import THEMES, page
from tests.conformance.rules import Held

ROOT = Path(__file__).parents[2]


def test_the_page_is_the_tables() -> None:
    assert (ROOT / "docs/conformance.md").read_text() == page(), (
        "python -m tests.conformance.page > docs/conformance.md"
    )


def test_a_rule_has_one_row() -> None:
    ids = [row.id for _, rows in THEMES for row in rows]

    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in HELD])
def test_what_holds_a_row_is_there(row: Held) -> None:
    for test in row.tests:
        file, _, function = test.partition("::")
        assert re.search(rf"(?m)^(async )?def {function}\(", (ROOT / file).read_text()), test
