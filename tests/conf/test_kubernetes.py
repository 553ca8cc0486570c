"""Kubernetes: its namers, and the keys by which its API is reached."""

from __future__ import annotations

import pytest

import conf
from conf.interpreters import ConfigMapInterpreter
from conf.kubernetes import KubernetesNamer, KubernetesNamespaceNamer
from conf.tls import ApiTlsKeys
from conf.transformers import DaemonsetTransformer, LocalnodeTransformer
from namer.path import Path
from tests.conf.texts import MINIMAL, problems, router

PREFIX = Path(("io.l5d.k8s",))


def namer(keys: str) -> object:
    (found,) = conf.load(MINIMAL + f"namers: [{{{keys}}}]", "l5d").namers
    return found


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param("kind: io.l5d.k8s", KubernetesNamer(prefix=PREFIX), id="nothing given"),
        pytest.param("kind: k8s", KubernetesNamer(prefix=Path(("k8s",))), id="the short kind"),
        pytest.param(
            "kind: io.l5d.k8s, host: localhost, port: 8001, labelSelector: example.org/version",
            KubernetesNamer(prefix=PREFIX, host="localhost", port=8001, label_selector="example.org/version"),
            id="linkerd's keys",
        ),
        pytest.param(
            "kind: io.l5d.k8s, host: api, port: 6443, tokenFile: t, tls: {commonName: kubernetes, trustCerts: [ca]}",
            KubernetesNamer(
                prefix=PREFIX,
                host="api",
                port=6443,
                token_file="t",
                tls=ApiTlsKeys(common_name="kubernetes", trust_certs=("ca",)),
            ),
            id="from outside",
        ),
        pytest.param(
            "kind: io.l5d.k8s.ns, envVar: NS",
            KubernetesNamespaceNamer(prefix=Path(("io.l5d.k8s.ns",)), env_var="NS"),
            id="one namespace",
        ),
    ],
)
def test_namers(keys: str, expected: object) -> None:
    assert namer(keys) == expected


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        pytest.param(
            "host: api, tokenFile: t", "tokenFile: needs tls: without it anybody on the way could read", id="in clear"
        ),
        pytest.param(
            "host: api, tokenFile: t, tls: {enabled: false}", "tokenFile: needs tls", id="TLS that is turned off"
        ),
        pytest.param("tls: {commonName: x}", "tls: is of no use without host", id="TLS to whom"),
        pytest.param("labelSelector: 'a=b'", "expected the key of a label", id="no key of a label"),
    ],
)
def test_what_cannot_be(keys: str, problem: str) -> None:
    (line,) = problems(MINIMAL + f"namers: [{{kind: io.l5d.k8s, {keys}}}]")

    assert problem in line


def test_load_balancers_are_refused_by_name() -> None:
    (line,) = problems(MINIMAL + "namers: [{kind: io.l5d.k8s.external}]")

    assert '"io.l5d.k8s.external" is not provided yet' in line


def test_the_interpreter() -> None:
    found = router("interpreter: {kind: io.l5d.k8s.configMap, experimental: true, name: dtabs, filename: main.dtab}")

    expected = ConfigMapInterpreter(experimental=True, name="dtabs", filename="main.dtab", namespace="default")
    assert found.interpreter == expected


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        pytest.param("name: a/b, filename: c", "expected a name in Kubernetes", id="the name"),
        pytest.param("name: a, filename: b/c", "expected letters, digits", id="the key"),
        pytest.param("name: a, filename: b, tokenFile: t", "tokenFile: needs tls", id="a token in clear"),
    ],
)
def test_what_the_interpreter_cannot_be(keys: str, problem: str) -> None:
    text = f"routers: [{{protocol: http, servers: [{{}}], interpreter: {{kind: io.l5d.k8s.configMap, {keys}}}}}]"
    (line,) = problems(text)

    assert problem in line


DAEMONSET = "kind: io.l5d.k8s.daemonset, namespace: mesh, port: incoming, service: agents"


@pytest.mark.parametrize(
    ("keys", "expected", "prefix"),
    [
        pytest.param(
            DAEMONSET,
            DaemonsetTransformer(namespace="mesh", port="incoming", service="agents"),
            "/io.l5d.k8s.daemonset/mesh/incoming/agents",
            id="daemonset",
        ),
        pytest.param(
            f"{DAEMONSET}, k8sHost: api, k8sPort: 8001, hostNetwork: true, prefix: /agents",
            DaemonsetTransformer(
                prefix=Path(("agents",)),
                namespace="mesh",
                port="incoming",
                service="agents",
                k8s_host="api",
                k8s_port=8001,
                host_network=True,
            ),
            "/agents",
            id="daemonset with all of linkerd's keys",
        ),
        pytest.param("kind: io.l5d.k8s.localnode", LocalnodeTransformer(), "/io.l5d.k8s.localnode", id="localnode"),
        pytest.param(
            "kind: k8s.localnode, hostNetwork: true", LocalnodeTransformer(host_network=True), "/io.l5d.k8s.localnode",
            id="by the node's name",
        ),
    ],
)  # fmt: skip
def test_transformers(keys: str, expected: object, prefix: str) -> None:
    (found,) = router(f"interpreter: {{transformers: [{{{keys}}}]}}").interpreter.transformers

    assert found == expected
    assert found.id_prefix.show() == prefix


def test_a_transformers_token_is_not_sent_in_clear() -> None:
    text = MINIMAL + f"namers: [{{kind: io.l5d.k8s, transformers: [{{{DAEMONSET}, k8sTokenFile: t}}]}}]"
    (line,) = problems(text)

    assert "k8sTokenFile: needs k8sTls" in line
