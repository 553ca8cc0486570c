"""Interpreters."""

from __future__ import annotations

import pytest

from conf.interpreters import ConsulInterpreter, DefaultInterpreter, FsInterpreter
from conf.retries import ConstantBackoff
from conf.tls import ApiTlsKeys
from namer.path import Path
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
        pytest.param("{kind: io.l5d.consul.interpreter}", ConsulInterpreter(), id="Consul"),
        pytest.param(
            "{kind: consul.interpreter, host: c, port: 1, pathPrefix: /x/y, namespace: n, token: t, tokenFile: f, "
            "datacenter: dc2, readConsistencyMode: stale, writeConsistencyMode: consistent, failFast: true, "
            "backoff: {kind: constant, ms: 5}, tls: {commonName: c}}",
            ConsulInterpreter(
                host="c",
                port=1,
                path_prefix=Path(("x", "y")),
                namespace="n",
                token="t",
                token_file="f",
                datacenter="dc2",
                read_consistency_mode="stale",
                write_consistency_mode="consistent",
                fail_fast=True,
                backoff=ConstantBackoff(5),
                tls=ApiTlsKeys(common_name="c"),
            ),
            id="Consul, everything",
        ),
    ],
)
def test_kinds(keys: str, interpreter: object) -> None:
    assert router(f"interpreter: {keys}").interpreter == interpreter


@pytest.mark.parametrize(
    ("kind", "when"),
    [("io.l5d.namerd", "here"), ("io.l5d.mesh", "here")],
)
def test_kinds_that_are_refused_by_name(kind: str, when: str) -> None:
    (line,) = router_problems(f"interpreter: {{kind: {kind}}}")

    assert f'"{kind}" is not provided {when} (' in line
