"""Identifiers."""

from __future__ import annotations

import pytest

from conf.identifiers import HeaderPath, HeaderToken, MethodAndHost, StaticIdentifier, UrlPathIdentifier
from namer.path import Path
from tests.conf.texts import router


@pytest.mark.parametrize(
    ("keys", "identifiers"),
    [
        pytest.param("{kind: io.l5d.header.token}", [HeaderToken("Host")], id="header token"),
        pytest.param("{kind: header.token, header: X-Name}", [HeaderToken("X-Name")], id="of another header"),
        pytest.param("{kind: io.l5d.header}", [HeaderPath("l5d-name")], id="header"),
        pytest.param("{kind: path}", [UrlPathIdentifier(1, False)], id="path"),
        pytest.param("{kind: path, segments: 2, consume: true}", [UrlPathIdentifier(2, True)], id="consumed path"),
        pytest.param("{kind: methodAndHost, httpUriInDst: true}", [MethodAndHost(True)], id="method and host"),
        pytest.param("{kind: static, path: /a/b}", [StaticIdentifier(Path(("a", "b")))], id="static"),
        pytest.param("[{kind: path}]", [UrlPathIdentifier()], id="a list of one"),
        pytest.param("[{kind: header}, {kind: path}]", [HeaderPath(), UrlPathIdentifier()], id="one after the other"),
    ],
)
def test_one_or_a_list(keys: str, identifiers: list[object]) -> None:
    assert list(router(f"identifier: {keys}").identifier) == identifiers


def test_the_default_is_the_host() -> None:
    assert router().identifier == (HeaderToken("Host"),)
