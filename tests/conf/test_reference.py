"""The pages for people say what the program does."""

from __future__ import annotations

import pathlib
import re

import pytest

from conf import reference
from conf.agent import AgentConfig
from conf.schema import Kinds, Many, keys_of, sections_under
from conf.section import Absent

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def test_the_page_is_the_one_that_the_schema_makes() -> None:
    page = (DOCS / "configuration.md").read_text()

    assert page == reference.render(), "run `python -m conf.reference > docs/configuration.md`"


def test_every_key_has_a_row() -> None:
    page = reference.render()

    for _, section in sections_under(AgentConfig):
        for name in keys_of(section):
            assert f"\n| `{name}` | " in page


def test_rows_are_whole() -> None:
    for line in reference.render().splitlines():
        if line.startswith("| `"):
            assert len(re.findall(r" \| | \|$", line)) == 6


def absent() -> dict[str, Absent]:
    """Every key and kind that is refused by name."""
    found: dict[str, Absent] = {}
    for _, section in sections_under(AgentConfig):
        found |= section.absent
        for key in keys_of(section).values():
            shape = key.shape.item if isinstance(key.shape, Many) else key.shape
            if isinstance(shape, Kinds):
                found |= shape.family.absent_kinds
    return found


@pytest.mark.parametrize(("name", "why"), absent().items())
def test_what_is_not_provided_stands_on_the_page_it_points_to(name: str, why: Absent) -> None:
    page = (DOCS / "linkerd1.md").read_text()
    yet, here = page.split("## Not provided yet")[1].split("## Not provided here")

    assert f"`{name}`" in (yet if why.planned else here)
