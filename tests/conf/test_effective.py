"""What `/config.json` prints."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, reject

import conf
from conf.agent import AgentConfig
from conf.effective import Json
from tests.conf.strategies import configurations
from tests.conf.test_shapes import SHAPES
from tests.conf.texts import MINIMAL


def values(shown: Json) -> Json:
    """The values without their origins: a configuration again."""
    match shown:
        case {"value": value, "origin": str()}:
            return value
        case dict():
            return {key: values(value) for key, value in shown.items()}
        case list():
            return [values(item) for item in shown]
        case _:
            raise AssertionError(f"neither a value nor a section: {shown!r}")


def at(shown: Json, *path: str | int) -> Json:
    for key in path:
        shown = shown[key]  # type: ignore[index]
    return shown


def test_each_value_has_its_origin() -> None:
    text = """\
admin:
  port: 4990
usage: {orgId: hush}
routers:
- protocol: http
  identifier: {kind: path, segments: 2}
  dtab: |
    /svc => /a ;
    /svc => /b
  servers: [{}]
  client:
    kind: static
    configs:
    - prefix: /#/{name}
      connectTimeoutMs: 5
"""
    shown = conf.effective(conf.load(text, "l5d.yaml"))

    assert at(shown, "admin", "port") == {"value": 4990, "origin": "l5d.yaml:2"}
    assert at(shown, "admin", "ip") == {"value": "127.0.0.1", "origin": "default"}
    assert at(shown, "routers", 0, "protocol") == {"value": "http", "origin": "l5d.yaml:5"}
    assert at(shown, "routers", 0, "identifier", 0) == {
        "kind": {"value": "io.l5d.path", "origin": "l5d.yaml:6"},
        "segments": {"value": 2, "origin": "l5d.yaml:6"},
        "consume": {"value": False, "origin": "default"},
    }
    assert at(shown, "routers", 0, "dtab") == {"value": "/svc => /a ; /svc => /b", "origin": "l5d.yaml:7"}
    assert at(shown, "routers", 0, "servers", 0, "port") == {"value": 4140, "origin": "default"}
    assert at(shown, "routers", 0, "client", "configs", 0) == {
        "connectTimeoutMs": {"value": 5, "origin": "l5d.yaml:15"},
        "prefix": {"value": "/#/{name}", "origin": "l5d.yaml:14"},
    }
    assert at(shown, "namers") == {"value": [], "origin": "default"}


def test_secrets_are_not_shown() -> None:
    shown = conf.effective(conf.load(MINIMAL + "usage: {orgId: hush}", "l5d"))

    assert at(shown, "usage", "orgId") == {"value": "redacted", "origin": "l5d:2"}
    assert "hush" not in json.dumps(shown)


def test_a_policy_for_all_names_is_shown_with_the_defaults_that_fill_it() -> None:
    shown = conf.effective(conf.load(MINIMAL.replace("servers", "client: {connectTimeoutMs: 5}, servers"), "l5d"))
    client = at(shown, "routers", 0, "client")

    assert at(client, "kind") == {"value": "io.l5d.global", "origin": "default"}
    assert at(client, "connectTimeoutMs") == {"value": 5, "origin": "l5d:1"}
    assert at(client, "loadBalancer", "kind") == {"value": "ewma", "origin": "default"}
    assert at(client, "requestAttemptTimeoutMs") == {"value": None, "origin": "default"}
    assert at(shown, "routers", 0, "service", "retries", "budget", "ttlSecs") == {"value": 10, "origin": "default"}


def holds_again(config: AgentConfig) -> None:
    """What is shown, read again, is shown the same."""
    shown = values(conf.effective(config))

    again = conf.load(json.dumps(shown), "again")

    assert values(conf.effective(again)) == shown


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in SHAPES.items()])
def test_what_is_shown_is_a_configuration_that_means_the_same(text: str) -> None:
    holds_again(conf.load(text, "l5d"))


@given(configurations(wild=False))
def test_whatever_is_valid_holds_again(tree: dict[str, object]) -> None:
    try:
        config = conf.load(json.dumps(tree), "l5d")
    except conf.ConfigErrors:
        reject()
    holds_again(config)
