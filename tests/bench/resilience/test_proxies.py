"""Each proxy is configured for its experiment: all endpoints, and what it has against slow and failing ones."""

import json
from pathlib import Path

import pytest
import yaml

import conf
from bench.peers import Site
from bench.resilience.proxies import HEDGING, NAMES, VARIANTS, Variant, agent_from
from bench.resilience.scenario import SCENARIOS

SITE = Site(Path("/run/site"), port=14140, admin_port=19990, backends=tuple(range(18081, 18092)))

EVERY = [
    pytest.param(variant, id=f"{scenario}-{variant.name}")
    for scenario, variants in VARIANTS.items()
    for variant in variants
]


def text(scenario: str, name: str) -> str:
    (variant,) = (variant for variant in VARIANTS[scenario] if variant.name == name)
    return "\n".join(variant.peer.files(SITE).values())


@pytest.mark.parametrize("variant", EVERY)
def test_it_listens_on_its_port_and_has_all_endpoints(variant: Variant) -> None:
    written = "\n".join(variant.peer.files(SITE).values())
    assert all(str(port) in written for port in (SITE.port, *SITE.backends))


def test_every_experiment_has_the_agent_and_a_peer_and_names_are_different() -> None:
    assert list(VARIANTS) == list(SCENARIOS)
    for variants in VARIANTS.values():
        names = [variant.name for variant in variants]
        assert len(set(names)) == len(names)
        assert names[0] == "agent"
        assert set(names) <= set(NAMES)
        assert not all(variant.is_agent for variant in variants)


@pytest.mark.parametrize("variant", [each for each in EVERY if each.values[0].is_agent])  # type: ignore[union-attr]
def test_the_agent_s_configuration_is_yaml_with_one_router(variant: Variant) -> None:
    (router,) = yaml.safe_load(variant.peer.files(SITE)["agent.yaml"])["routers"]
    assert router["servers"] == [{"port": SITE.port, "ip": "127.0.0.1"}]


def test_the_published_configuration_is_understood() -> None:
    router = conf.load(text("second", "agent-published").partition("127.0.0.1 ")[0], "bench").routers[0]
    accrual = router.client.failure_accrual  # type: ignore[union-attr]
    assert (accrual.success_rate, accrual.requests, accrual.backoff.ms) == (0.9, 20, 10_000)  # type: ignore[union-attr]


def test_hedging_is_asked_for_by_the_service_s_key() -> None:
    assert "hedging" in yaml.safe_load(HEDGING)["service"]


def test_haproxy_checks_and_tries_again() -> None:
    second = text("second", "haproxy-leastconn")
    for line in (
        "balance leastconn",
        "option httpchk",
        "default-server check",
        "retry-on",
        "server s10 127.0.0.1:18091",
    ):
        assert f"\n  {line}" in second
    assert "retry-on" not in text("first", "haproxy-leastconn")
    assert "check" not in text("second", "haproxy-roundrobin")


def test_envoy_ejects_and_tries_again() -> None:
    second = json.loads(text("second", "envoy"))
    assert '"lb_policy": "LEAST_REQUEST"' in json.dumps(second)
    assert "outlier_detection" in json.dumps(second)
    assert '"retry_policy": {"retry_on": "5xx", "num_retries": 3}' in json.dumps(second)


def test_an_agent_from_elsewhere_comes_before_the_one_that_is_here(tmp_path: Path) -> None:
    words = agent_from(tmp_path)
    assert f"PYTHONPATH={tmp_path}" in words
    assert "PYTHONSAFEPATH=1" in words
    assert words[-2:] == ("-m", "nodeagent")
