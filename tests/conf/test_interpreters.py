"""Interpreters."""

from __future__ import annotations

import pytest

from conf.interpreters import DefaultInterpreter, FsInterpreter
from tests.conf.texts import router, router_problems


@pytest.mark.parametrize(
    ("keys", "interpreter"),
    [
        pytest.param("{}", DefaultInterpreter(), id="no kind given"),
        pytest.param("{kind: default}", DefaultInterpreter(), id="default"),
        pytest.param("{kind: fs, dtabFile: a.dtab}", FsInterpreter(dtab_file="a.dtab"), id="a file"),
        pytest.param(
            "{kind: io.l5d.fs, dtabFile: a, experimental: true}",
            FsInterpreter(dtab_file="a", experimental=True),
            id="experimental is accepted",
        ),
    ],
)
def test_kinds(keys: str, interpreter: object) -> None:
    assert router(f"interpreter: {keys}").interpreter == interpreter


@pytest.mark.parametrize(
    ("kind", "when"),
    [("io.l5d.consul.interpreter", "yet"), ("io.l5d.k8s.configMap", "yet"), ("io.l5d.mesh", "here")],
)
def test_kinds_that_are_refused_by_name(kind: str, when: str) -> None:
    (line,) = router_problems(f"interpreter: {{kind: {kind}}}")

    assert f'"{kind}" is not provided {when} (' in line
