"""From a character of a value back to the file."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conf.errors import Position
from conf.locate import position_within
from conf.source import Mapping, Scalar, parse

MARK = "\N{BLACK DIAMOND}"


def locate(text: str) -> Position:
    """Where the mark in the value of the only key stands, by way of the value."""
    document = parse(text, "l5d")
    assert isinstance(document.root, Mapping)
    ((_, scalar),) = document.root.entries
    assert isinstance(scalar, Scalar)
    before = scalar.text[: scalar.text.index(MARK)]
    return position_within(text, scalar, before.count("\n") + 1, len(before) - before.rfind("\n"))


def true_place(text: str) -> Position:
    before = text[: text.index(MARK)]
    return Position(before.count("\n") + 1, len(before) - before.rfind("\n"))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"a: x {MARK}", id="plain"),
        pytest.param(f"a: x\n  y {MARK} z", id="plain, on two lines"),
        pytest.param(f"a: 'it''s {MARK}'", id="single quotes"),
        pytest.param(f'a: "x\\n\\ty\\x20\\u0041\\U00000042 {MARK}"', id="double quotes with escapes"),
        pytest.param(f'a: "x \\\n   y\n\n  {MARK}"', id="double quotes on lines"),
        pytest.param(f"a: |\n  x\n\n  # c\n    {MARK} y\n", id="literal block"),
        pytest.param(f"a: |2-  # why not\n     x\n    {MARK}\n", id="literal block with a header"),
        pytest.param(f"a: >\n  x\n  y\n\n  {MARK} z\n", id="folded block"),
        pytest.param(f"a: |\r\n  x\r\n  {MARK}\r\n", id="dos lines"),
    ],
)
def test_every_style_is_understood(text: str) -> None:
    assert locate(text) == true_place(text)


def test_behind_the_last_character_is_the_end_of_the_text() -> None:
    text = "a: |\n  xy \n\n"
    document = parse(text, "l5d")
    assert isinstance(document.root, Mapping)
    ((_, scalar),) = document.root.entries
    assert isinstance(scalar, Scalar)

    assert position_within(text, scalar, 1, 4) == Position(2, 5)


words = st.text(st.sampled_from(" \n\tab'\"\\#/;:>|é\u2028\xa0"), max_size=30)


@given(before=words, after=words, style=st.sampled_from(["'", '"', "|", ">"]))
def test_whatever_the_text_and_style(before: str, after: str, style: str) -> None:
    text = yaml.safe_dump({"a": before + MARK + after}, default_style=style, allow_unicode=True, width=20)

    assert locate(text) == true_place(text)


@given(before=words, after=words)
def test_json_too(before: str, after: str) -> None:
    text = json.dumps({"a": before + MARK + after}, ensure_ascii=False)

    assert locate(text) == true_place(text)
