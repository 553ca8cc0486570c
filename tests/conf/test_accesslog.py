"""Access logs."""

from __future__ import annotations

import conf
from conf.accesslog import AccessLog
from tests.conf.stories import Story, stories
from tests.conf.texts import problems


@stories("accesslog")
def test_what_is_said(story: Story) -> None:
    assert problems(story.text) == story.lines


def logged(keys: str) -> AccessLog | None:
    return conf.load(f"routers:\n- {{protocol: http, servers: [{{}}], {keys}}}", "l5d").routers[0].logged


def test_there_is_none_unless_it_is_wanted() -> None:
    assert logged("label: x") is None


def test_linkerds_key_is_short_for_the_combined_format() -> None:
    assert logged("httpAccessLog: a.log") == AccessLog(to="a.log", format="combined")


def test_the_journal_has_fields_and_so_a_short_text() -> None:
    formats = {to: AccessLog(to=to).line_format for to in ("stdout", "/a.log", "journald")}
    assert formats == {"stdout": "json", "/a.log": "json", "journald": "combined"}


def test_slow_is_a_second_unless_told() -> None:
    assert AccessLog(to="stdout", only="slow").slow_seconds == 1.0
    assert AccessLog(to="stdout", only="slow", slow_ms=250).slow_seconds == 0.25
