"""A short run with real processes through the agent: that it hangs together, not how fast anything is."""

import json
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
from click.testing import CliRunner

from bench.resilience.__main__ import among, chosen, fitted, main
from bench.resilience.scenario import FIRST, SECOND


def test_names_are_taken_in_the_order_in_which_they_are_known() -> None:
    assert among("second, first", ["first", "second", "share"], "--experiment") == ["first", "second"]
    assert among(None, ["first", "second"], "--experiment") == ["first", "second"]
    with pytest.raises(click.BadParameter, match="third: not one of first, second"):
        among("third", ["first", "second"], "--experiment")


def test_an_unknown_name_is_wrong_usage() -> None:
    assert CliRunner().invoke(main, ["--only", "envoi"]).exit_code == 2


def test_only_the_agent_comes_from_elsewhere(tmp_path: Path) -> None:
    here = chosen(FIRST, ["agent", "envoy"], None)
    there = chosen(FIRST, ["agent", "envoy"], tmp_path)
    assert [variant.name for variant in there] == ["agent", "envoy"]
    assert f"PYTHONPATH={tmp_path}" in (there[0].peer.find() or ())
    assert there[1] == here[1]


def test_the_length_is_what_was_asked_for() -> None:
    assert fitted(SECOND, False, None) is SECOND
    assert fitted(SECOND, True, None).seconds < 5.0
    assert fitted(SECOND, True, 8.0).seconds == 8.0


@pytest.mark.e2e
def test_a_short_run_through_the_agent(tmp_path: Path) -> None:
    pictures, figures = tmp_path / "img", tmp_path / "figures.json"
    words = ["--quick", "--experiment", "first", "--only", "agent", "--svg", str(pictures), "--json", str(figures)]

    ran = CliRunner().invoke(main, words)

    if "two cores are needed" in ran.output:
        pytest.skip("one core")
    assert ran.exit_code == 0, ran.output
    assert "| agent" in ran.output
    seen = json.loads(figures.read_text())["first"]["figures"]["agent"]
    assert seen["requests"] == sum(seen["outcomes"].values()) > 0
    assert seen["slow_hits"] is not None
    assert [each["number"] for each in seen["by_second"]] == [0, 1, 2]
    ElementTree.parse(pictures / "resilience-first.svg")
