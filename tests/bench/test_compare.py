"""The command line of a comparison, and the order in which the proxies take their turns."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bench.catalogue import BENCHMARKS, Benchmark
from bench.compare import NAMES, alternate, chosen, compare_all, main, present, report, turns
from bench.peers import AGENT, Peer, on_path
from bench.processes import BenchError
from bench.results import METRICS, Sample
from bench.stage import Stage


def test_the_peers_take_turns_within_every_round() -> None:
    order: list[str] = []

    def turn(name: str) -> Sample:
        order.append(name)
        return {"rate": float(len(order)), "cpu_us": 1.0}

    said: list[str] = []
    samples = alternate({"a": lambda: turn("a"), "b": lambda: turn("b")}, 3, said.append)

    assert order == ["a", "b"] * 3
    assert [sample["rate"] for sample in samples["b"]] == [2.0, 4.0, 6.0]
    assert said[3] == "round 2 of 3: b: 1.0 CPU us/request, 4 requests/s"


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


def test_everything_is_without_the_envoy_that_does_less() -> None:
    assert set(NAMES) - set(chosen(None, everything=True)) == {"envoy"}
    assert chosen("envoy", everything=True) == ["envoy"]


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


STAGE = Stage(Path("/nowhere"), 0, 1, (1, 2), Path("/nowhere/gib"))
HERE = replace(AGENT, name="agent", find=lambda: (sys.executable,))


def test_the_backend_alone_is_measured_where_that_tells_something() -> None:
    benchmark = Benchmark(
        ("rate",), lambda _stage, _peer, _seconds: {"rate": 1.0}, lambda _stage, _seconds: {"rate": 2.0}
    )
    names = ["direct", "agent"]

    assert list(turns(STAGE, benchmark, [HERE], names, 1)) == ["direct", "agent"]
    assert list(turns(STAGE, benchmark, [HERE], ["agent"], 1)) == ["agent"]
    assert list(turns(STAGE, replace(benchmark, direct=None), [HERE], names, 1)) == ["agent"]


def test_a_workload_that_fails_leaves_the_others_alone() -> None:
    def fails(_stage: Stage, peer: Peer, _seconds: int) -> Sample:
        raise BenchError(f"{peer.name} fell over")

    works = Benchmark(("rate",), lambda _stage, _peer, seconds: {"rate": float(seconds)}, None, (HERE,))
    benchmarks = {"one": replace(works, measure=fails), "two": works}

    results, failures = compare_all(STAGE, benchmarks, ["agent"], 2, 3)

    assert results == {"two": {"agent": [{"rate": 3.0}, {"rate": 3.0}]}}
    assert failures == ["one: agent fell over"]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--workload", "down1g", "--connections", "3"], id="not of requests"),
        pytest.param(["--all", "--connections", "3"], id="not of one"),
    ],
)
def test_only_a_workload_of_requests_has_connections_to_choose(words: list[str]) -> None:
    assert CliRunner().invoke(main, words).exit_code == 2


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_names_figures_that_there_are(name: str) -> None:
    benchmark = BENCHMARKS[name]
    assert set(benchmark.headline) <= {metric.key for metric in METRICS}
    assert {"agent", "envoy-full", "haproxy", "nginx"} <= {peer.name for peer in benchmark.peers}


@pytest.mark.e2e
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two cores are needed")
@pytest.mark.skipif(on_path("nginx") is None, reason="needs nginx: apt-get install nginx-light")
@pytest.mark.skipif(on_path("wrk") is None, reason="needs wrk: apt-get install wrk")
@pytest.mark.parametrize("workload", ["upload64k", "tunnelsmall"])
def test_a_short_run_through_the_agent(workload: str, tmp_path: Path) -> None:
    """With real processes: that it hangs together, not how fast anything is."""
    target = tmp_path / "figures.json"
    words = ["--workload", workload, "--only", "direct,agent", "--rounds", "1", "--seconds", "1", "--json", str(target)]

    ran = CliRunner().invoke(main, words)

    assert ran.exit_code == 0, ran.output
    assert "| agent" in ran.output
    written = json.loads(target.read_text())
    assert written["failures"] == []
    shown = written["workloads"][workload]["figures"]
    assert all(shown["agent"][key]["median"] > 0.0 for key in BENCHMARKS[workload].headline)
    assert "direct" in shown
