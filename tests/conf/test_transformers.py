"""Transformers: their keys, the ids they give, and paths that could never be bound."""

from __future__ import annotations

import pytest

from conf.transformers import (
    AnyTransformer,
    ConstTransformer,
    LocalhostTransformer,
    PortTransformer,
    ReplaceTransformer,
    SpecificHostTransformer,
)
from namer.path import Path
from tests.conf.texts import MINIMAL, problems, router

INET = Path.parse("/$/inet/h/80")


@pytest.mark.parametrize(
    ("keys", "transformer", "prefix"),
    [
        pytest.param("kind: io.l5d.localhost", LocalhostTransformer(), "/io.l5d.localhost", id="localhost"),
        pytest.param("kind: localhost", LocalhostTransformer(), "/io.l5d.localhost", id="its short name"),
        pytest.param(
            "kind: specificHost, host: rack7", SpecificHostTransformer(host="rack7"), "/io.l5d.specificHost", id="host"
        ),
        pytest.param("kind: port, port: 4141", PortTransformer(port=4141), "/io.l5d.port/4141", id="port"),
        pytest.param(
            "kind: port, port: 4141, keepEndpoints: true",
            PortTransformer(port=4141, keep_endpoints=True),
            "/io.l5d.port/4141",
            id="port, noted",
        ),
        pytest.param(
            "kind: replace, path: /$/inet/h/80", ReplaceTransformer(path=INET), "/io.l5d.replace", id="replace"
        ),
        pytest.param("kind: const, path: /$/inet/h/80", ConstTransformer(path=INET), "/io.l5d.const", id="const"),
        pytest.param(
            "kind: port, port: 1, prefix: /in", PortTransformer(port=1, prefix=Path(("in",))), "/in", id="own prefix"
        ),
    ],
)
def test_kinds(keys: str, transformer: AnyTransformer, prefix: str) -> None:
    (read,) = router(f"interpreter: {{transformers: [{{{keys}}}]}}").interpreter.transformers

    assert read == transformer
    assert read.id_prefix.show() == prefix


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        pytest.param("kind: port", "port: missing; expected a whole number from 1 to 65535", id="no port"),
        pytest.param("kind: port, port: 0", "port: 0 is out of range; expected a whole number from 1 to 65535", id="0"),
        pytest.param(
            "kind: replace, path: /#/io.l5d.fs/web",
            "path: /#/io.l5d.fs/web is not under /$/; expected a name such as /$/inet/127.0.0.1/4141",
            id="not built in",
        ),
        pytest.param(
            "kind: const, path: /$/inett/h/1", "path: /$/inett/h/1 cannot be bound: there is no", id="unknown"
        ),
    ],
)
def test_what_cannot_be(keys: str, problem: str) -> None:
    (line,) = problems(MINIMAL + f"namers: [{{kind: fs, rootDir: d, transformers: [{{{keys}}}]}}]")

    assert f"namers[0].transformers[0].{problem}" in line
