"""Bad texts with the exact lines that are printed for them: the files in `stories/`.

A story is a heading `## what it is about`, a text, and the lines expected for it, each behind `>> `: what
`nodeagent check` prints after the name of the file, or `valid`.
"""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

import pytest

_FOLDER = pathlib.Path(__file__).parent / "stories"


@dataclass(frozen=True, slots=True)
class Story:
    """A text, and what is printed for it."""

    text: str
    lines: list[str]


def stories(name: str) -> pytest.MarkDecorator:
    """Parametrize a test with the stories of a file."""
    parts = (_FOLDER / f"{name}.txt").read_text().split("\n## ")[1:]
    return pytest.mark.parametrize("story", [_story(part) for part in parts])


def _story(part: str) -> pytest.ParameterSet:
    title, *lines = part.rstrip("\n").split("\n")
    text = [line for line in lines if not line.startswith(">> ")]
    printed = [f"l5d:{line.removeprefix('>> ')}" for line in lines if line.startswith(">> ")]
    return pytest.param(Story("\n".join(text), [] if printed == ["l5d:valid"] else printed), id=title)
