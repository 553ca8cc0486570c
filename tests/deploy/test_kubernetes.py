"""The manifests against the Kubernetes schema and the agent, the Containerfile against the project."""

import json
import tomllib
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

import conf
from nodeagent import __version__
from nodeagent.admin.security import PathRules
from tests.deploy.manifests import KUBERNETES, ROOT, Manifest, manifests, the

VERSION = "1.32"

ALL_MANIFESTS = [
    pytest.param(manifest, id=f"{name}:{manifest['kind']}")
    for name in ("daemonset.yaml", "discovery.yaml", "example-app.yaml")
    for manifest in manifests(name)
]


@pytest.fixture
def pod() -> Manifest:
    template: Manifest = the("DaemonSet")["spec"]["template"]["spec"]
    return template


@pytest.fixture
def container(pod: Manifest) -> Manifest:
    (container,) = pod["containers"]
    return dict(container)


@pytest.fixture
def configuration() -> conf.AgentConfig:
    return conf.load(the("ConfigMap")["data"]["nodeagent.yaml"], "nodeagent.yaml")


@pytest.fixture
def rules(configuration: conf.AgentConfig) -> PathRules:
    security = configuration.admin.security
    return PathRules(
        ui=security.ui_enabled,
        control=security.control_enabled,
        diagnostics=security.diagnostics_enabled,
        whitelist=security.path_whitelist,
        blacklist=security.path_blacklist,
    )


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("manifest", ALL_MANIFESTS)
def test_kubernetes_takes_it(manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


class TestTheAgentInsideThePod:
    def test_its_ports_are_those_it_listens_on(self, container: Manifest, configuration: conf.AgentConfig) -> None:
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}

        assert ports == {
            "outgoing": configuration.routers[0].servers[0].port,
            "admin": configuration.admin.port,
        }

    def test_the_kubelet_gets_its_answers(self, container: Manifest, rules: PathRules) -> None:
        for probe in ("readinessProbe", "livenessProbe"):
            asked = container[probe]["httpGet"]
            assert asked["port"] == "admin"
            assert rules.allow(asked["path"])

    @pytest.mark.parametrize(
        "path", ["/", "/admin/shutdown", "/logging.json", "/config.json", "/tap", "/admin/metrics.json", "/live/x"]
    )
    def test_no_other_pod_can_stop_or_watch_it(self, rules: PathRules, path: str) -> None:
        assert not rules.allow(path)

    def test_a_drain_ends_before_the_kubelet_loses_patience(
        self, pod: Manifest, configuration: conf.AgentConfig
    ) -> None:
        assert pod["terminationGracePeriodSeconds"] > configuration.admin.shutdown_grace_ms / 1000

    def test_the_configuration_is_mounted_where_it_is_read(self, pod: Manifest, container: Manifest) -> None:
        (mount,) = container["volumeMounts"]
        (volume,) = pod["volumes"]

        assert container["args"] == [f"{mount['mountPath']}/{name}" for name in the("ConfigMap")["data"]]
        assert mount["name"] == volume["name"]
        assert volume["configMap"]["name"] == the("ConfigMap")["metadata"]["name"]

    def test_the_image_is_this_version(self, container: Manifest) -> None:
        assert container["image"] == f"nodeagent:{__version__}"


class TestContainerfile:
    @pytest.fixture
    def instructions(self) -> list[tuple[str, str]]:
        joined = (KUBERNETES / "Containerfile").read_text().replace("\\\n", "")
        lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
        return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]

    def test_it_copies_all_that_the_wheel_is_made_of(
        self, instructions: list[tuple[str, str]], project: dict[str, Any]
    ) -> None:
        copied = {
            source
            for name, rest in instructions
            if name == "COPY" and not rest.startswith("--from")
            for source in rest.split()[:-1]
        }
        packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

        assert copied == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", *packages}
        assert all((ROOT / source).exists() for source in copied)

    def test_it_runs_the_agent_as_the_user_of_the_pod(
        self, instructions: list[tuple[str, str]], pod: Manifest, container: Manifest
    ) -> None:
        last = dict(instructions)

        assert json.loads(last["ENTRYPOINT"]) == ["nodeagent", "run"]
        assert json.loads(last["CMD"]) == container["args"]
        user = pod["securityContext"]
        assert last["USER"] == f"{user['runAsUser']}:{user['runAsGroup']}"
