"""Envoy's bootstraps: the plain one asks for little, the full one for what the agent does by default."""

import json

from bench.envoy import Json, bootstrap, full_bootstrap, tunnel_bootstrap

PORTS = (14140, 19990, (18081, 18082))


def text(document: Json) -> str:
    return json.dumps(document)


def test_both_listen_and_forward_on_loopback_alone() -> None:
    for document in (bootstrap(*PORTS), full_bootstrap(*PORTS)):
        assert all(f'"address": "127.0.0.1", "port_value": {port}' in text(document) for port in (14140, 18081, 18082))
        assert "0.0.0.0" not in text(document)


def test_the_plain_one_has_no_optional_stage() -> None:
    plain = text(bootstrap(*PORTS))
    assert "ROUND_ROBIN" in plain
    assert not any(word in plain for word in ("retry", "outlier", "tracing", "access_log"))


def test_the_full_one_has_every_stage_the_agent_has() -> None:
    full = text(full_bootstrap(*PORTS))
    stages = (
        "LEAST_REQUEST",
        "outlier_detection",
        "retry_policy",
        "retry_budget",
        "timeout",
        "tracing",
        "via",
    )
    assert [stage for stage in stages if f'"{stage}"' not in full] == []
    assert "access_log" not in full


def test_the_one_for_tunnels_takes_connect_and_nothing_else() -> None:
    tunnels = text(tunnel_bootstrap(*PORTS))
    assert tunnels.count('"connect_matcher"') == tunnels.count('"connect_config"') == 1
    assert '"prefix"' not in tunnels
