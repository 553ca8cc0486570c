"""EndpointSlices to endpoints: who gets traffic, under which port, of which family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from namer.addr import Endpoint
from namer.k8s.objects import EndpointSlice, Service
from namer.k8s.slices import PortMatch, Served, candidates_of, named_port, numbered_port, served, serves
from namer.subset import Subset, split

HTTP = named_port("http")


def slice_(*endpoints: dict[str, Any], family: str = "IPv4", ports: Any = None) -> EndpointSlice:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}] if ports is None else ports
    told = {"metadata": {"name": "x"}, "addressType": family, "endpoints": endpoints, "ports": ports}
    return msgspec.convert(told, EndpointSlice)


def pod(host: str, ready: bool | None = True, **fields: Any) -> dict[str, Any]:
    return {"addresses": [host], "conditions": {"ready": ready}, **fields}


def leaving(host: str, serving: bool | None = True) -> dict[str, Any]:
    return {"addresses": [host], "conditions": {"ready": False, "serving": serving, "terminating": True}}


def hosts(found: Served | None) -> list[str]:
    return [] if found is None else [each.host for each in found.endpoints]


def served_by(
    slices: Sequence[EndpointSlice], matches: PortMatch, service: str, subset: Subset | None = None
) -> Served | None:
    found = served([candidates_of(each, matches) for each in slices], service, subset)
    assert serves(slices, matches) is bool(hosts(served([candidates_of(each, matches) for each in slices], service)))
    return found


@pytest.mark.parametrize(
    ("endpoints", "used"),
    [
        pytest.param([pod("10.0.0.1"), pod("10.0.0.2")], ["10.0.0.1", "10.0.0.2"], id="ready"),
        pytest.param([pod("10.0.0.1", None)], ["10.0.0.1"], id="readiness not known"),
        pytest.param([{"addresses": ["10.0.0.1"]}], ["10.0.0.1"], id="no conditions"),
        pytest.param([pod("10.0.0.1", False), pod("10.0.0.2")], ["10.0.0.2"], id="one is not ready"),
        pytest.param([pod("10.0.0.1", False)], [], id="none is ready"),
        pytest.param([leaving("10.0.0.1"), pod("10.0.0.2")], ["10.0.0.2"], id="one is terminating"),
        pytest.param([leaving("10.0.0.1"), leaving("10.0.0.2", False)], ["10.0.0.1"], id="all are terminating"),
        pytest.param([leaving("10.0.0.1"), pod("10.0.0.2", False)], ["10.0.0.1"], id="the other is not ready"),
        pytest.param([leaving("10.0.0.1", None)], [], id="terminating and not known to serve"),
        pytest.param([pod("10.0.0.1"), pod("10.0.0.1")], ["10.0.0.1"], id="twice in a slice"),
        pytest.param([{"addresses": ["10.0.0.1", "10.0.0.9"]}], ["10.0.0.1"], id="two addresses of one endpoint"),
        pytest.param([{"addresses": []}, pod("10.0.0.2")], ["10.0.0.2"], id="no address"),
        pytest.param([pod("somewhere"), pod("10.0.0.2")], ["10.0.0.2"], id="no IP address"),
    ],
)
def test_who_gets_traffic(endpoints: list[dict[str, Any]], used: list[str]) -> None:
    assert hosts(served_by([slice_(*endpoints)], HTTP, "users")) == used


V4, V6 = slice_(pod("10.0.0.1")), slice_(pod("fd00::1"), family="IPv6")
FQDN = slice_(pod("10.0.0.7"), family="FQDN")


@pytest.mark.parametrize(
    ("slices", "used"),
    [
        pytest.param([V4, slice_(pod("10.0.0.2"))], ["10.0.0.1", "10.0.0.2"], id="slices are merged"),
        pytest.param([V4, V4], ["10.0.0.1"], id="one endpoint in two slices"),
        pytest.param([V6, V4], ["10.0.0.1"], id="IPv4 of a dual stack"),
        pytest.param([V6], ["fd00::1"], id="only IPv6"),
        pytest.param([V6, slice_(pod("10.0.0.1", False))], ["fd00::1"], id="IPv4 is not ready"),
        pytest.param([V6, slice_(leaving("10.0.0.1"))], ["fd00::1"], id="a ready one goes before IPv4"),
        pytest.param([FQDN, V4], ["10.0.0.1"], id="host names are passed over"),
        pytest.param([], None, id="no slices"),
        pytest.param([FQDN], None, id="only host names"),
        pytest.param([slice_()], [], id="a slice without endpoints"),
        pytest.param([slice_(pod("10.0.0.1"), ports=[])], None, id="no ports"),
        pytest.param([slice_(pod("10.0.0.1"), ports=[{"name": "http", "port": None}])], None, id="all ports"),
        pytest.param([slice_(pod("10.0.0.1"), ports=[{"name": "http", "port": 70000}])], None, id="no port number"),
        pytest.param(
            [slice_(pod("10.0.0.1"), ports=[{"name": "http", "port": 53, "protocol": "UDP"}])], None, id="UDP"
        ),
    ],
)
def test_several_slices(slices: list[EndpointSlice], used: list[str] | None) -> None:
    found = served_by(slices, HTTP, "users")

    assert (None if found is None else hosts(found)) == used


def service(**ports: int) -> Service:
    told = {"spec": {"ports": [{"name": name.strip("_") or None, "port": port} for name, port in ports.items()]}}
    return msgspec.convert(told, Service)


TWO_PORTS = [{"name": "http", "port": 8080}, {"name": "admin", "port": 9990}]


@pytest.mark.parametrize(
    ("matches", "port"),
    [
        pytest.param(named_port("http"), 8080, id="by name"),
        pytest.param(named_port("grpc"), None, id="no such name"),
        pytest.param(numbered_port(80, service(http=80, admin=81)), 8080, id="the Service's number"),
        pytest.param(numbered_port(81, service(http=80, admin=81)), 9990, id="its other number"),
        pytest.param(numbered_port(8080, service(http=80, admin=8080)), 9990, id="the Service's number goes first"),
        pytest.param(numbered_port(9990, service(http=80)), 9990, id="a number of the endpoints"),
        pytest.param(numbered_port(9990, None), 9990, id="no Service"),
        pytest.param(numbered_port(82, service(http=80)), None, id="no such number"),
    ],
)
def test_ports(matches: PortMatch, port: int | None) -> None:
    found = served_by([slice_(pod("10.0.0.1"), ports=TWO_PORTS)], matches, "users")

    assert (found.endpoints[0].port if found else None) == port


def test_a_port_without_a_name() -> None:
    found = served_by(
        [slice_(pod("10.0.0.1"), ports=[{"name": "", "port": 8080}])], numbered_port(80, service(_=80)), "u"
    )

    assert found == Served((Endpoint("10.0.0.1", 8080),))


def test_a_named_target_port_differs_from_slice_to_slice() -> None:
    slices = [slice_(pod(f"10.0.0.{n}"), ports=[{"name": "http", "port": 8000 + n}]) for n in (1, 2)]
    found = served_by(slices, HTTP, "users")

    assert found is not None
    assert [each.show() for each in found.endpoints] == ["10.0.0.1:8001", "10.0.0.2:8002"]


def test_what_kubernetes_says_of_an_endpoint_goes_along() -> None:
    fields: dict[str, Any] = {
        "nodeName": "n1",
        "zone": "a",
        "targetRef": {"kind": "Pod", "name": "users-1"},
        "hints": {"forZones": [{"name": "b"}, {"name": "a"}]},
    }
    found = served_by([slice_(pod("10.0.0.1", **fields))], HTTP, "users")

    assert found is not None
    assert found.endpoints[0].meta == (
        ("forZone", "a"),
        ("forZone", "b"),
        ("node", "n1"),
        ("pod", "users-1"),
        ("zone", "a"),
    )


@pytest.mark.parametrize(
    ("label", "used", "flaw"),
    [
        pytest.param("users;zone=a", ["10.0.0.1"], None, id="a zone"),
        pytest.param("users;zone=b", ["10.0.0.2"], None, id="who is terminating serves its subset"),
        pytest.param("users;zone=c", [], "no instance of users has zone=c; 1 other has not", id="nobody"),
    ],
)
def test_subsets(label: str, used: list[str], flaw: str | None) -> None:
    name, subset = split(label)
    slices = [slice_(pod("10.0.0.1", zone="a"), leaving("10.0.0.2") | {"zone": "b"})]
    found = served_by(slices, HTTP, name, subset)

    assert found is not None
    assert (hosts(found), found.flaw) == (used, flaw)


conditions = st.fixed_dictionaries({key: st.none() | st.booleans() for key in ("ready", "serving", "terminating")})
endpoints = st.builds(
    lambda number, told: {"addresses": [f"10.0.0.{number}"], "conditions": told}, st.integers(1, 20), conditions
)


@given(st.lists(st.lists(endpoints, max_size=5), min_size=1, max_size=4))
def test_nobody_is_left_out_who_is_ready_and_nobody_unready_is_mixed_in(slices: list[list[dict[str, Any]]]) -> None:
    told = [each for group in slices for each in group]
    ready = {each["addresses"][0] for each in told if each["conditions"]["ready"] is not False}
    used = hosts(served_by([slice_(*group) for group in slices], HTTP, "users"))

    assert len(used) == len(set(used))
    if ready:
        assert set(used) == ready
    else:
        assert all(
            any(each["addresses"][0] == host and each["conditions"]["terminating"] for each in told) for host in used
        )
