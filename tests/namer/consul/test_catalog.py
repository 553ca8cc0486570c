"""Consul's answers, read."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from namer.consul.catalog import MAX_META, Barred, Entry, Rules, has_tag, health, none_may_serve, registered
from namer.targets import Target
from tests.namer.consul.fake import instance


def read(*entries: dict[str, Any]) -> list[Entry]:
    return msgspec.json.decode(msgspec.json.encode(entries), type=list[Entry])


def targets(rules: Rules, *entries: dict[str, Any]) -> list[tuple[str, int, float]]:
    return [
        (each.target.host, each.target.port, each.target.weight) for each in registered(read(*entries), rules).serving
    ]


@pytest.mark.parametrize(
    ("checks", "status"),
    [
        pytest.param(None, "passing", id="no checks"),
        pytest.param([("a", "passing"), ("serfHealth", "warning")], "warning", id="the worst counts, also the node's"),
        pytest.param([("a", "critical"), ("b", "warning")], "critical", id="critical"),
        pytest.param([("_service_maintenance:u1", "critical")], "maintenance", id="the service is under maintenance"),
        pytest.param([("_node_maintenance", "critical"), ("a", "passing")], "maintenance", id="its node is"),
        pytest.param([("a", "confused")], "critical", id="an unknown status"),
    ],
)
def test_health_is_the_worst_check(checks: list[tuple[str, str]] | None, status: str) -> None:
    entry = instance("10.0.0.1")
    entry["Checks"] = checks and [{"CheckID": name, "Status": status} for name, status in checks]

    assert health(read(entry)[0]) == status


@pytest.mark.parametrize(
    ("statuses", "hosts"),
    [
        pytest.param(Rules().statuses, ["h-passing", "h-warning"], id="not given: as Consul's DNS"),
        pytest.param(frozenset({"passing"}), ["h-passing"], id="passing"),
        pytest.param(frozenset({"passing", "warning", "critical"}), ["h-critical", "h-passing", "h-warning"], id="all"),
    ],
)
def test_which_statuses_may_serve(statuses: frozenset[str], hosts: list[str]) -> None:
    entries = [instance(f"h-{status}", status=status) for status in ("passing", "warning", "critical")]

    assert [host for host, *_ in targets(Rules(statuses), *entries)] == hosts


@pytest.mark.parametrize(
    ("entry", "rules", "found"),
    [
        pytest.param(instance("10.0.0.1", port=81), Rules(), [("10.0.0.1", 81, 1.0)], id="the service's address"),
        pytest.param(instance("", port=81), Rules(), [("10.9.9.9", 81, 1.0)], id="the node's, where it has none"),
        pytest.param(
            instance("10.0.0.1"), Rules(prefer_service_address=False), [("10.9.9.9", 80, 1.0)], id="the node's by wish"
        ),
        pytest.param(instance("web.example"), Rules(), [("web.example", 80, 1.0)], id="a host name"),
        pytest.param(instance("10.0.0.1", port=0), Rules(), [], id="no port"),
        pytest.param(instance("10.0.0.1", port=70000), Rules(), [], id="no such port"),
        pytest.param(instance("", node=""), Rules(), [], id="no address at all"),
        pytest.param(instance("10.0.0.1", weights=(4, 2)), Rules(), [("10.0.0.1", 80, 4.0)], id="Consul's weight"),
        pytest.param(
            instance("10.0.0.1", weights=(4, 2), status="warning"), Rules(), [("10.0.0.1", 80, 2.0)], id="of a warning"
        ),
        pytest.param(instance("10.0.0.1", weights=(4, 0), status="warning"), Rules(), [], id="which may be none"),
        pytest.param(instance("10.0.0.1", weights=(10**300, 1)), Rules(), [("10.0.0.1", 80, 1e6)], id="or too much"),
        pytest.param(
            instance("10.0.0.1", tags=["a", "b"], weights=(4, 2)),
            Rules(weights={"a": 7.0, "b": 3.0}),
            [("10.0.0.1", 80, 7.0)],
            id="the largest of its tags goes before",
        ),
        pytest.param(
            instance("10.0.0.1", tags=["A"]), Rules(weights={"a": 7.0}), [("10.0.0.1", 80, 1.0)], id="tags have case"
        ),
    ],
)
def test_where_an_instance_is_and_what_it_weighs(
    entry: dict[str, Any], rules: Rules, found: list[tuple[str, int, float]]
) -> None:
    assert targets(rules, entry) == found


def test_what_is_known_of_an_instance_goes_along() -> None:
    entry = instance("10.0.0.1", tags=["v2", ""], meta={"zone": "a", "v": "2"})
    entry["Node"]["Meta"] = {"zone": "b", "rack": "7"}

    (found,) = registered(read(entry), Rules()).serving

    assert found.target == Target(
        "10.0.0.1",
        80,
        meta=(("dc", "dc1"), ("node", "n1"), ("rack", "7"), ("tag", "v2"), ("v", "2"), ("zone", "a")),
    )
    assert (has_tag(found.meta, "v2"), has_tag(found.meta, "a")) == (True, False)


@pytest.mark.parametrize(
    ("node", "service", "zone"),
    [
        pytest.param({"Locality": {"Region": "eu", "Zone": "eu-1a"}}, {}, "eu-1a", id="of the node"),
        pytest.param({"Locality": {"Zone": "a"}}, {"Locality": {"Zone": "b"}}, "b", id="of the service"),
        pytest.param({"Locality": {"Zone": "a"}}, {"Locality": {"Region": "eu"}}, "a", id="the service has none"),
        pytest.param({"Locality": None, "Meta": {"zone": "c"}}, {"Locality": {"Zone": "b"}}, "c", id="Meta wins"),
        pytest.param({"Locality": {}}, {}, None, id="nothing said"),
    ],
)
def test_the_zone_may_be_a_locality(node: dict[str, Any], service: dict[str, Any], zone: str | None) -> None:
    entry = instance("10.0.0.1")
    entry["Node"] |= node
    entry["Service"] |= service

    (found,) = registered(read(entry), Rules()).serving
    assert dict(found.meta).get("zone") == zone


def test_what_goes_along_is_bounded() -> None:
    entry = instance("10.0.0.1", tags=[f"tag{number}" for number in range(1000)], meta={"long": "x" * 1000})

    (found,) = registered(read(entry), Rules()).serving

    assert len(found.target.meta) == MAX_META
    assert "long" not in dict(found.target.meta)


def test_the_order_stays_whatever_consul_answers() -> None:
    entries = [instance("10.0.0.1"), instance("10.0.0.2")]

    assert targets(Rules(), *entries) == targets(Rules(), *reversed(entries))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        pytest.param(instance("10.0.0.1", status="critical"), "critical", id="critical"),
        pytest.param(instance("10.0.0.1", status="maintenance"), "under maintenance", id="maintenance"),
        pytest.param(instance("10.0.0.1", port=0), "without a usable port", id="no port"),
        pytest.param(instance("", node=""), "without an address", id="no address"),
        pytest.param(instance("10.0.0.1", weights=(0, 0)), "of weight 0", id="no weight"),
    ],
)
def test_why_an_instance_may_not_serve(entry: dict[str, Any], reason: str) -> None:
    found = registered(read(entry), Rules())

    assert ([each.reason for each in found.barred], found.serving) == ([reason], ())


@pytest.mark.parametrize(
    ("reasons", "says"),
    [
        (["critical"], "the only instance of users may not serve: 1 critical"),
        (["critical", "critical"], "none of the 2 instances of users may serve: 2 critical"),
        (["warning", "critical", "warning"], "none of the 3 instances of users may serve: 1 critical, 2 warning"),
    ],
)
def test_what_people_are_told_of_it(reasons: list[str], says: str) -> None:
    assert none_may_serve("users", [Barred(reason, ()) for reason in reasons]) == says


def test_the_agent_of_a_node_goes_along_and_its_name_cannot_be_changed_or_crowded_out() -> None:
    crowd = {f"a{number}": "x" for number in range(2 * MAX_META)}
    entry = instance("10.0.0.1", meta={"node": "web-9", **crowd})
    entry["Node"] |= {"Node": "web-1", "Meta": {"agent": "4141"}}

    (found,) = registered(read(entry), Rules()).serving
    assert {("node", "web-1"), ("agent", "4141")} <= set(found.meta)
    assert ("node", "web-9") not in found.meta
    assert len(found.meta) == MAX_META
