"""What two sections cannot both have."""

from __future__ import annotations

from tests.conf.stories import Story, stories
from tests.conf.texts import MINIMAL, problems


@stories("listeners")
def test_listeners(story: Story) -> None:
    assert problems(story.text) == story.lines


@stories("labels")
def test_labels(story: Story) -> None:
    assert problems(story.text) == story.lines


def test_pages() -> None:
    text = MINIMAL + "telemetry: [{kind: prometheus}, {kind: prometheus, path: /m}, {kind: prometheus}]"

    assert problems(text) == ["l5d:2:63: telemetry[2].path: /admin/metrics/prometheus is taken by telemetry[0]"]


def test_two_namers_may_have_one_prefix() -> None:
    assert problems(MINIMAL + "namers: [{kind: fs, rootDir: a}, {kind: fs, rootDir: b}]") == []
