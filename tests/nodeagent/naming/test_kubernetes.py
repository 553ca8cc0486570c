"""Configuration to what speaks with the Kubernetes API."""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import MockClock

from conf.kubernetes import KubernetesNamespaceNamer
from conf.tls import ApiTlsKeys
from conf.transformers import DaemonsetTransformer
from namer.addr import Addr, AddrBound, Endpoint
from namer.cell import Cell
from namer.k8s.api import Access, ServiceAccount
from namer.k8s.namer import KubernetesNamer
from namer.namer import Bound, Failure
from namer.nametree import Leaf
from namer.path import Path
from namer.watch import Watches
from nodeagent.naming.kubernetes import access, daemonset, kubernetes_namer
from tests.namer.fakes import offload_inline
from tests.namer.k8s.world import cluster, ignore, put_slice

POD = ServiceAccount("10.96.0.1", 443, "/sa/ca.crt", "/sa/token")


def shown(found: Access) -> tuple[str, bool, str | None, str | None]:
    return found.url, found.tls is not None, found.server_name, found.token_file


@pytest.mark.parametrize(
    ("host", "port", "tls", "token_file", "mounted", "expected"),
    [
        pytest.param(
            None, None, None, None, None, ("http://localhost:8001", False, None, None), id="linkerd's kubectl proxy"
        ),
        pytest.param(
            None, None, None, None, POD, ("https://10.96.0.1:443", True, None, "/sa/token"), id="the service account"
        ),
        pytest.param("::1", 80, None, None, None, ("http://[::1]:80", False, None, None), id="an address"),
        pytest.param(None, 0, None, None, None, ("http://localhost:0", False, None, None), id="a port"),
        pytest.param(
            "api",
            6443,
            ApiTlsKeys(common_name="kubernetes"),
            "token",
            None,
            ("https://api:6443", True, "kubernetes", "token"),
            id="from outside",
        ),
    ],
)
def test_how_the_api_is_reached(
    host: str | None,
    port: int | None,
    tls: ApiTlsKeys | None,
    token_file: str | None,
    mounted: ServiceAccount | None,
    expected: tuple[str, bool, str | None, str | None],
) -> None:
    assert shown(access(host, port, tls, token_file, mounted)) == expected


def test_the_namespace_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config = KubernetesNamespaceNamer(prefix=Path(("ns",)), env_var="SOME_NAMESPACE")
    rng = random.Random(7)

    monkeypatch.delenv("SOME_NAMESPACE", raising=False)
    state = kubernetes_namer(Path(("#", "ns")), config, Watches(rng), offload_inline, rng).lookup(Path()).value
    assert isinstance(state, Failure)
    assert "the environment variable SOME_NAMESPACE, which names the namespace, is not set" in state.reason

    monkeypatch.setenv("SOME_NAMESPACE", "shop")
    assert isinstance(kubernetes_namer(Path(("#", "ns")), config, Watches(rng), offload_inline, rng), KubernetesNamer)


async def test_the_agents_of_a_daemonset_are_followed(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        put_slice(world.server, "10.1.1.9", "10.1.2.9", name="agents-1", service="agents", port=("incoming", 4141))
        port = world.server.port
        config = DaemonsetTransformer(
            namespace="shop", port="incoming", service="agents", k8s_host="127.0.0.1", k8s_port=port
        )
        transformer = daemonset(config, world.live.watches, offload_inline, world.rng)
        pod: Addr = AddrBound((Endpoint("10.1.2.3", 80),))
        tree = transformer.bound(Bound(Path.parse("/#/x/users"), Path(), Cell.constant(pod)))
        assert isinstance(tree, Leaf)
        tree.value.addr.subscribe(ignore)
        await trio.sleep(1)

        assert tree.value.id.show() == "/%/io.l5d.k8s.daemonset/shop/incoming/agents/#/x/users"
        assert tree.value.addr.value == AddrBound((Endpoint("10.1.2.9", 4141, agent=("10.1.2.9", 4141)),))
