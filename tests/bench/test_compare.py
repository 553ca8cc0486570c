"""The command line of a comparison, and the order in which the proxies take their turns."""

import sys
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner

from bench.compare import NAMES, alternate, chosen, main, present, report
from bench.peers import AGENT
from bench.results import Sample


def test_the_peers_take_turns_within_every_round() -> None:
    order: list[str] = []

    def turn(name: str) -> Sample:
        order.append(name)
        return {"rate": float(len(order)), "cpu_us": 1.0}

    said: list[str] = []
    samples = alternate({"a": lambda: turn("a"), "b": lambda: turn("b")}, 3, said.append)

    assert order == ["a", "b"] * 3
    assert [sample["rate"] for sample in samples["b"]] == [2.0, 4.0, 6.0]
    assert said[3] == "round 2 of 3: b: 1.0 us CPU a request, 4 requests/s"


@pytest.mark.parametrize(
    ("only", "names"),
    [
        pytest.param(None, list(NAMES), id="all by default"),
        pytest.param("envoy, agent", ["agent", "envoy"], id="always in the same order"),
        pytest.param("direct", ["direct"], id="the backend alone"),
    ],
)
def test_chosen(only: str | None, names: list[str]) -> None:
    assert chosen(only) == names


def test_an_unknown_name_is_wrong_usage() -> None:
    with pytest.raises(click.BadParameter, match="envoi: not one of direct, agent"):
        chosen("agent,envoi")

    assert CliRunner().invoke(main, ["--only", "envoi"]).exit_code == 2


def test_a_missing_peer_is_named_and_left_out() -> None:
    said: list[str] = []
    here = replace(AGENT, name="here", find=lambda: (sys.executable,))
    absent = replace(AGENT, name="absent", install="apt-get install absent", find=lambda: None)

    assert present([absent, here], said.append) == [here]
    assert said == ["absent: not here: apt-get install absent"]


def test_ratios_are_reported_against_each_reference_that_was_measured() -> None:
    samples: dict[str, list[Sample]] = {"agent": [{"cpu_us": 40.0}], "envoy-full": [{"cpu_us": 50.0}]}

    text = report(samples)

    assert "over envoy-full" in text
    assert "over envoy " not in text
    assert "0.80" in text
