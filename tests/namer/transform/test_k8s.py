"""The transformers of a cluster with an agent on every node."""

from __future__ import annotations

from dataclasses import replace

import pytest

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.cell import Cell
from namer.namer import Bound
from namer.nametree import Leaf
from namer.path import Path
from namer.transform.addresses import AddressTransformer
from namer.transform.k8s import daemonset, localnode, same_node_name, same_subnet

PREFIX = Path.parse("/io.l5d.k8s.x")
ID = Path.parse("/#/io.l5d.k8s/shop/http/users")


def on(host: str, node: str = "", port: int = 80) -> Endpoint:
    return Endpoint(host, port, meta=(("node", node),) if node else ())


def agent(host: str, node: str) -> Endpoint:
    """The agent of a node, in the place of an endpoint."""
    return replace(on(host, node, 4141), agent=(host, 4141))


def transformed(transformer: AddressTransformer, addr: Addr) -> tuple[str, Addr]:
    tree = transformer.bound(Bound(ID, Path(), Cell.constant(addr)))
    assert isinstance(tree, Leaf)
    return tree.value.id.show(), tree.value.addr.value


@pytest.mark.parametrize(
    ("one", "other", "subnet", "name"),
    [
        pytest.param(on("10.1.2.3", "a"), on("10.1.2.250", "a"), True, True, id="one node"),
        pytest.param(on("10.1.2.3", "a"), on("10.1.3.3", "b"), False, False, id="two nodes"),
        pytest.param(on("10.1.2.3"), on("10.1.2.4"), True, False, id="no names"),
        pytest.param(on("10.1.2.3", "a"), on("192.168.0.9", "a"), False, True, id="the host's network"),
        pytest.param(on("fd00:1::3"), on("fd00:1::ffff:9"), True, False, id="IPv6"),
        pytest.param(on("fd00:1::3"), on("fd00:1:0:1::3"), False, False, id="IPv6, two nodes"),
        pytest.param(on("fd00:1::3"), on("10.1.2.3"), False, False, id="two families"),
    ],
)
def test_on_one_node(one: Endpoint, other: Endpoint, subnet: bool, name: bool) -> None:
    assert (same_subnet(one, other), same_node_name(one, other)) == (subnet, name)


AGENTS = AddrBound((on("10.1.1.9", "a", 4141), on("10.1.2.9", "b", 4141), on("10.1.3.9", "c", 4141)))


@pytest.mark.parametrize(
    ("addr", "agents", "expected"),
    [
        pytest.param(
            AddrBound((on("10.1.1.1"), on("10.1.1.2"), on("10.1.3.1"))),
            AGENTS,
            AddrBound((agent("10.1.1.9", "a"), agent("10.1.3.9", "c"))),
            id="one for a node",
        ),
        pytest.param(AddrBound((on("10.1.7.1"),)), AGENTS, AddrBound(()), id="a node without one"),
        pytest.param(AddrNeg(), AGENTS, AddrNeg(), id="no such name"),
        pytest.param(AddrPending(), AGENTS, AddrPending(), id="a name not known yet"),
        pytest.param(AddrBound((on("10.1.1.1"),)), AddrPending(), AddrPending(), id="agents not known yet"),
        pytest.param(AddrBound((on("10.1.1.1"),)), AddrFailed("why"), AddrFailed("why"), id="agents not to be found"),
        pytest.param(AddrBound((on("10.1.1.1"),)), AddrNeg(), AddrBound(()), id="no agents"),
    ],
)
def test_daemonset(addr: Addr, agents: Addr, expected: Addr) -> None:
    id_, found = transformed(daemonset(PREFIX, Cell.constant(agents), host_network=False), addr)

    assert (id_, found) == ("/%/io.l5d.k8s.x/#/io.l5d.k8s/shop/http/users", expected)


def test_daemonset_on_the_hosts_network() -> None:
    agents = AddrBound((on("192.168.0.1", "a", 4141), on("192.168.0.2", "b", 4141)))
    addr = AddrBound((on("10.1.2.1", "b"),))
    _, found = transformed(daemonset(PREFIX, Cell.constant(agents), host_network=True), addr)

    assert found == AddrBound((agent("192.168.0.2", "b"),))


BESIDE = AddrBound(
    (
        Endpoint("10.1.1.1", 80, meta=(("zone", "z"), ("node", "a")), agent=("10.1.1.9", 4141)),
        Endpoint("10.1.2.1", 80, meta=(("node", "b"),), agent=("10.1.2.9", 4141)),
        Endpoint("10.1.7.1", 80),
    )
)
OF_BESIDE = AddrBound(
    (Endpoint("10.1.1.1", 80, meta=(("zone", "z"),)), on("10.1.2.1", "b"), Endpoint("10.1.7.1", 80, agent=("h", 1)))
)


@pytest.mark.parametrize(
    ("agents", "expected"),
    [
        pytest.param(AGENTS, BESIDE, id="each with the agent of its node, and one without"),
        pytest.param(AddrPending(), AddrPending(), id="not known yet is not the same as none"),
        pytest.param(AddrFailed("why"), AddrFailed("why"), id="not to be found is not the same as none"),
        pytest.param(
            AddrNeg(),
            AddrBound(tuple(replace(each, agent=None) for each in OF_BESIDE.endpoints)),
            id="there are none",
        ),
    ],
)
def test_daemonset_may_keep_the_endpoints_and_note_the_agents(agents: Addr, expected: Addr) -> None:
    transformer = daemonset(PREFIX, Cell.constant(agents), host_network=False, keep_endpoints=True)

    assert transformed(transformer, OF_BESIDE)[1] == expected


TWO_NODES = AddrBound((on("10.1.1.1", "a"), on("10.1.2.1", "b")))


@pytest.mark.parametrize(
    ("environ", "host_network", "id_", "expected"),
    [
        pytest.param(
            {"POD_IP": "10.1.2.77"},
            False,
            "/%/io.l5d.k8s.x/10.1.2.77/#/io.l5d.k8s/shop/http/users",
            AddrBound((on("10.1.2.1", "b"),)),
            id="by the address of the pod",
        ),
        pytest.param(
            {"NODE_NAME": "a", "POD_IP": "10.1.2.77"},
            True,
            "/%/io.l5d.k8s.x/a/#/io.l5d.k8s/shop/http/users",
            AddrBound((on("10.1.1.1", "a"),)),
            id="by the name of the node",
        ),
        pytest.param(
            {"NODE_NAME": "a"},
            False,
            "/%/io.l5d.k8s.x/#/io.l5d.k8s/shop/http/users",
            AddrFailed("io.l5d.k8s.localnode: the environment variable POD_IP is not set"),
            id="not told",
        ),
        pytest.param(
            {"POD_IP": "here"},
            False,
            "/%/io.l5d.k8s.x/#/io.l5d.k8s/shop/http/users",
            AddrFailed("io.l5d.k8s.localnode: the environment variable POD_IP is 'here'"),
            id="no address",
        ),
    ],
)
def test_localnode(environ: dict[str, str], host_network: bool, id_: str, expected: Addr) -> None:
    assert transformed(localnode(PREFIX, environ, host_network=host_network), TWO_NODES) == (id_, expected)


def test_localnode_that_is_not_told_leaves_what_is_not_known_as_it_is() -> None:
    assert transformed(localnode(PREFIX, {}, host_network=False), AddrNeg())[1] == AddrNeg()
