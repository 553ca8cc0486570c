"""Sections and kinds."""

from __future__ import annotations

import pytest

from conf.namers import FsNamer
from conf.section import laid_over, not_here, not_yet, short_kind
from namer.path import Path


@pytest.mark.parametrize(
    ("kind", "short"),
    [
        ("io.l5d.fs", "fs"),
        ("io.l5d.header.token", "header.token"),
        ("io.l5d.http.retryableRead5XX", "retryableRead5XX"),
        ("ewma", "ewma"),
        ("http", "http"),
    ],
)
def test_short_kinds(kind: str, short: str) -> None:
    assert short_kind(kind) == short


def test_a_section_knows_its_kind() -> None:
    assert FsNamer(prefix=Path(("fs",)), root_dir="disco").kind == "io.l5d.fs"


def test_what_is_absent_says_whether_it_will_come() -> None:
    assert str(not_yet("StatsD")) == "not provided yet (StatsD), see docs/linkerd1.md"
    assert str(not_here("Thrift")) == "not provided here (Thrift), see docs/linkerd1.md"


def test_what_is_set_wins_even_when_it_is_nothing_much() -> None:
    assert laid_over(5, None) == 5
    assert laid_over(5, 0) == 0
