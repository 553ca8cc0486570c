"""Levels that are changed for a time, under a clock of the test."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeagent.telemetry.levels import LOGGERS, Levels, UnknownError, level_of

HOUSE = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def levels_as_before() -> Iterator[None]:
    before = {name: logging.getLogger(name).level for name in LOGGERS if name != "root"}
    root = logging.getLogger().level
    logging.getLogger().setLevel(logging.INFO)
    yield
    logging.getLogger().setLevel(root)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def shown(levels: Levels, logger: str, now: float) -> dict[str, Any]:
    (found,) = (each for each in levels.listing(now) if each["logger"] == logger)
    return found


def test_a_part_is_raised_for_a_time_and_returns_by_itself() -> None:
    levels = Levels()

    levels.change("nodeagent.bind", "DEBUG", 600, now=100.0)

    assert logging.getLogger("nodeagent.bind").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("nodeagent.dial").isEnabledFor(logging.DEBUG)
    assert shown(levels, "nodeagent.bind", 160.0)["secondsLeft"] == 540.0
    assert levels.standing(160.0) == [("nodeagent.bind", "debug", 540.0)]
    assert levels.sweep(699.9) == []
    assert levels.sweep(700.0) == ["nodeagent.bind"]
    assert not logging.getLogger("nodeagent.bind").isEnabledFor(logging.DEBUG)
    assert shown(levels, "nodeagent.bind", 700.0) == {
        "logger": "nodeagent.bind",
        "level": "INFO",
        "secondsLeft": None,
        "tells": LOGGERS["nodeagent.bind"],
    }


def test_a_change_of_a_change_returns_to_what_was_before_both() -> None:
    logging.getLogger("httpx").setLevel(logging.WARNING)
    levels = Levels()

    levels.change("httpx", "debug", 600, now=0.0)
    levels.change("httpx", "error", 60, now=10.0)

    assert levels.sweep(70.0) == ["httpx"]
    assert logging.getLogger("httpx").level == logging.WARNING


def test_what_is_above_holds_for_what_is_below_and_root_for_all() -> None:
    levels = Levels()

    levels.change("nodeagent", "debug", 60, now=0.0)
    assert shown(levels, "nodeagent.dial", 0.0)["level"] == "DEBUG"
    assert shown(levels, "namer.watch", 0.0)["level"] == "INFO"

    levels.change("root", "error", 60, now=0.0)
    assert shown(levels, "namer.watch", 0.0)["level"] == "ERROR"


def test_default_returns_at_once_and_is_no_error_where_nothing_was_changed() -> None:
    levels = Levels()
    levels.change("nodeagent.dial", "debug", 60, now=0.0)

    levels.change("nodeagent.dial", "default", 60, now=1.0)
    levels.change("nodeagent.bind", "default", 60, now=1.0)

    assert (shown(levels, "nodeagent.dial", 1.0)["level"], levels.standing(1.0)) == ("INFO", [])


@pytest.mark.parametrize(
    ("logger", "level", "message"),
    [
        ("nodeagent.bnd", "debug", "there is no logger 'nodeagent.bnd'; did you mean nodeagent.bind?"),
        ("os", "debug", "there is no logger 'os'; see /logging.json for all"),
        ("nodeagent.bind", "loud", "unknown log level 'loud': use one of debug, info, warning, error, critical, defau"),
    ],
)
def test_what_there_is_not_is_refused_and_changes_nothing(logger: str, level: str, message: str) -> None:
    levels = Levels()
    with pytest.raises(UnknownError) as caught:
        levels.change(logger, level, 60, now=0.0)
    assert message in str(caught.value)
    assert levels.standing(0.0) == []


@pytest.mark.parametrize(("theirs", "ours"), [("ALL", "debug"), ("TRACE", "debug"), ("FATAL", "critical")])
def test_linkerds_levels_have_their_nearest(theirs: str, ours: str) -> None:
    assert level_of(theirs) == ours


def test_every_logger_of_the_house_can_be_set() -> None:
    """`/logging.json` lists them by a table: it must not lag behind the code."""
    named = {
        name
        for folder in ("nodeagent", "namer", "balancer", "tls", "conf")
        for file in (HOUSE / folder).rglob("*.py")
        for name in logger_names(file)
    }
    assert named <= LOGGERS.keys()
    parents = {each.rpartition(".")[0] for each in named}
    libraries = {"root", "httpx", "httpcore", "hypercorn"}
    assert LOGGERS.keys() - named - parents - libraries == set()


def logger_names(file: Path) -> Iterator[str]:
    """The names of the loggers that a file gets, as they are written in it."""
    module = ".".join(file.relative_to(HOUSE).with_suffix("").parts)
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(attr="get_logger"), args=[ast.Constant(value=str(name))]):
                yield name
            case ast.Call(func=ast.Attribute(attr="get_logger"), args=[ast.Name(id="__name__")]):
                yield module
