"""What metadata says of the agent on the host of an endpoint."""

from __future__ import annotations

import pytest

from namer.addr import Addr, AddrBound, Endpoint
from namer.agents import agent_port, node_of
from namer.targets import Target, combine


@pytest.mark.parametrize(
    ("meta", "port"),
    [
        pytest.param((), None, id="nothing"),
        pytest.param((("agent", "4141"),), 4141, id="a pair"),
        pytest.param((("tag", "v2"), ("tag", "agent=4141")), 4141, id="a tag"),
        pytest.param((("tag", "agent=1"), ("agent", "4141")), 4141, id="a pair goes before a tag"),
        pytest.param((("agent", "yes"), ("tag", "agent=4141")), 4141, id="what is no port says nothing"),
        pytest.param((("agent", "10.0.0.1:4141"),), None, id="an address is none"),
        *(pytest.param((("agent", text),), None, id=repr(text)) for text in ("", "0", "65536", "-1", "٣", "1e3")),
    ],
)
def test_the_port_of_an_agent(meta: tuple[tuple[str, str], ...], port: int | None) -> None:
    assert agent_port(meta) == port


def test_each_address_of_a_host_has_its_agent() -> None:
    found: Addr = AddrBound((Endpoint("10.0.0.1", 80), Endpoint("fd00::1", 80)))
    addr = combine([Target("web-1", 80, meta=(("agent", "4141"), ("node", "web-1")))], [found])

    assert isinstance(addr, AddrBound)
    assert [each.agent for each in addr.endpoints] == [("10.0.0.1", 4141), ("fd00::1", 4141)]
    assert {node_of(each) for each in addr.endpoints} == {"web-1"}


def test_a_unix_socket_has_none() -> None:
    found: Addr = AddrBound((Endpoint("/run/app.sock", 0),))
    addr = combine([Target("/run/app.sock", 0, meta=(("agent", "4141"),))], [found])

    assert isinstance(addr, AddrBound)
    assert addr.endpoints[0].agent is None
    assert node_of(addr.endpoints[0]) is None
