"""Namers."""

from __future__ import annotations

import pytest

import conf
from conf.namers import FsNamer, RewriteNamer
from namer.path import Path
from tests.conf.texts import MINIMAL, problems


def namers(text: str) -> list[object]:
    return list(conf.load(MINIMAL + f"namers: {text}", "l5d").namers)


@pytest.mark.parametrize(
    ("keys", "prefix"),
    [
        pytest.param("kind: io.l5d.fs", "/io.l5d.fs", id="the kind"),
        pytest.param("kind: fs", "/fs", id="the kind as written"),
        pytest.param("kind: fs, prefix: /disco/local", "/disco/local", id="as given"),
        pytest.param("kind: io.l5d.fs, prefix: ", "/io.l5d.fs", id="left without a value"),
    ],
)
def test_the_prefix(keys: str, prefix: str) -> None:
    assert namers(f"[{{{keys}, rootDir: disco}}]") == [FsNamer(prefix=Path.parse(prefix), root_dir="disco")]


def test_rewrite() -> None:
    assert namers("[{kind: rewrite, pattern: '/{a}/*', name: '/{a}-2', experimental: true}]") == [
        RewriteNamer(prefix=Path(("rewrite",)), pattern="/{a}/*", name="/{a}-2", experimental=True)
    ]


def test_a_name_may_use_only_what_the_pattern_remembers() -> None:
    (line,) = problems(MINIMAL + "namers: [{kind: rewrite, pattern: '/{a}', name: '/{b}'}]")

    assert line.startswith("l5d:2:49: namers[0].name: no capture {b} in the pattern")


def test_a_bound_on_staleness() -> None:
    (unbound,) = namers("[{kind: fs, rootDir: disco}]")
    (bound,) = namers("[{kind: fs, rootDir: disco, maxStaleSecs: 120, whenStale: refuse}]")

    assert isinstance(unbound, FsNamer)
    assert isinstance(bound, FsNamer)
    assert (unbound.max_stale_secs, unbound.when_stale) == (None, "flag")
    assert (bound.max_stale_secs, bound.when_stale) == (120, "refuse")
    assert problems(MINIMAL + "namers: [{kind: fs, rootDir: disco, maxStaleSecs: 0, whenStale: ignore}]") == [
        "l5d:2:51: namers[0].maxStaleSecs: 0 is out of range; expected a whole number from 1 to 2147483647",
        'l5d:2:65: namers[0].whenStale: expected flag or refuse, found the text "ignore"',
    ]
