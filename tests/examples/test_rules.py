"""The rules for Prometheus are valid, do what they say, and ask for metrics that there are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from nodeagent.telemetry.measures import measures
from nodeagent.telemetry.measures.measure import Measure
from nodeagent.telemetry.registry import Registry
from tests.nodeagent.telemetry.real import needs_prometheus

RULES = Path("examples/prometheus")
EXPRESSIONS = {
    rule.get("record") or rule["alert"]: rule["expr"]
    for group in yaml.safe_load((RULES / "nodeagent.rules.yml").read_text())["groups"]
    for rule in group["rules"]
}
OF_THE_SUPERVISOR = "nodeagent_worker_deaths_total"


def shown(measure: Measure) -> set[str]:
    name = f"nodeagent_{measure.name}"
    return {"counter": {f"{name}_total"}, "gauge": {name}, "histogram": {f"{name}_bucket"}}[measure.kind]


@needs_prometheus
@pytest.mark.parametrize("command", [("check", "nodeagent.rules.yml"), ("test", "nodeagent.rules.test.yml")])
def test_the_rules_are_valid_and_do_what_they_say(command: tuple[str, str]) -> None:
    verb, file = command

    checked = subprocess.run(["promtool", verb, "rules", file], cwd=RULES, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
def test_every_metric_that_a_rule_asks_for_is_one_of_the_agent(expression: str) -> None:
    asked = set(re.findall(r"(?<![:\w])nodeagent_\w+(?![:\w])", expression))

    assert asked <= {name for measure in measures(Registry()) for name in shown(measure)} | {OF_THE_SUPERVISOR}
    assert set(re.findall(r"\w+:nodeagent_\w+:\w+", expression)) <= EXPRESSIONS.keys()
