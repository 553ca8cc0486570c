"""The whole configuration."""

from __future__ import annotations

import conf
from conf.agent import Origins
from tests.conf.texts import MINIMAL


def test_configurations_are_compared_by_their_values() -> None:
    first, second = conf.load(MINIMAL, "a"), conf.load("# moved\n" + MINIMAL, "b")

    assert first == second
    assert (first.origins.lines[("routers",)], second.origins.lines[("routers",)]) == (1, 2)
    assert Origins("a", {}) == Origins("b", {("x",): 1})


def test_usage_is_accepted() -> None:
    usage = conf.load(MINIMAL + "usage: {enabled: true, orgId: us}", "l5d").usage

    assert (usage.enabled, usage.org_id) == (True, "us")
