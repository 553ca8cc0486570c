"""The section `admin`."""

from __future__ import annotations

import pytest

import conf
from conf.admin import Admin, Security
from tests.conf.texts import MINIMAL, problems


def test_defaults() -> None:
    assert conf.load(MINIMAL, "l5d").admin == Admin(
        ip="127.0.0.1", port=9990, shutdown_grace_ms=10_000, security=Security(True, True, True, (), ())
    )


def test_all_keys() -> None:
    text = """
admin:
  ip: "::1"
  port: 0
  shutdownGraceMs: 0
  security:
    uiEnabled: false
    controlEnabled: false
    diagnosticsEnabled: false
    pathWhitelist: ["^/admin/shutdown$"]
    pathBlacklist: [".*"]
"""
    security = Security(False, False, False, ("^/admin/shutdown$",), (".*",))

    assert conf.load(MINIMAL + text, "l5d").admin == Admin(ip="::1", port=0, shutdown_grace_ms=0, security=security)


@pytest.mark.parametrize("key", ["tls", "socketOptions", "httpIdentifierPort"])
def test_what_comes_later_is_refused_by_name(key: str) -> None:
    (line,) = problems(MINIMAL + f"admin: {{{key}: 5}}")

    assert line.startswith(f"l5d:2:9: admin.{key}: not provided yet (")
