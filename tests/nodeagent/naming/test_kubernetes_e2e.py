"""A running agent in a Kubernetes cluster: pods come, leave and are not ready, and the API server goes away."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trustme

from tests.namer.k8s.apiserver import ApiServer
from tests.namer.k8s.test_api import server_context
from tests.namer.k8s.threaded import Threaded, pods, threaded
from tests.namer.k8s.world import pod, put_slice
from tests.nodeagent.cli.processes import NODEAGENT, PATIENCE, fetch, ports, started

pytestmark = pytest.mark.e2e

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
SOON = 2.0
"""Seconds in which a change must have reached the traffic."""


@contextmanager
def agent(directory: Path, config: str, env: dict[str, str] | None = None) -> Iterator[int]:
    """An agent with this configuration; the port of its router."""
    (directory / "l5d.yaml").write_text(textwrap.dedent(config))
    with started("run", "l5d.yaml", cwd=directory, env=os.environ | (env or {})) as process:
        found = ports(process, 2)
        found.pop("admin")
        (proxy,) = found.values()
        yield proxy
        process.signal(signal.SIGTERM)
        code, _, err = process.end()
        assert (code, "Traceback" in err) == (0, False), err


def config(access: str, dtab: str = "/svc => /#/io.l5d.k8s/shop/http", interpreter: str = "{}") -> str:
    """A router that names by the services of the namespace `shop`; `access` are the keys of the namer."""
    return f"""
        admin: {{port: 0}}
        namers:
        - {{kind: io.l5d.k8s, {access}}}
        routers:
        - protocol: http
          dtab: {dtab}
          interpreter: {interpreter}
          servers: [{{port: 0}}]
    """


def who(proxy: int, times: int = 20) -> set[str]:
    """Who answers."""
    answers = [fetch(proxy, "users") for _ in range(times)]
    assert {response.status for response, _ in answers} == {200}
    return {text for _, text in answers}


def soon(expected: set[str], ask: Callable[[], set[str]], seconds: float = SOON) -> None:
    """Return when that is the answer, at the latest after some seconds."""
    deadline = time.monotonic() + seconds
    while (found := ask()) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def serve(api: Threaded, port: int, *told: str | dict[str, object]) -> None:
    api.do(lambda server: put_slice(server, *told, port=("http", port)))


def test_pods_come_and_go_and_the_api_server_too(tmp_path: Path) -> None:
    one, two, three = HOSTS
    server = ApiServer()
    with pods(*HOSTS) as port, ExitStack() as life:
        api = life.enter_context(threaded(server))
        serve(api, port, one, two)
        with agent(tmp_path, config(f"host: 127.0.0.1, port: {server.port}")) as proxy:
            soon({one, two}, lambda: who(proxy), PATIENCE)

            serve(api, port, one, two, three)
            soon({three}, lambda: who(proxy) & {three})  # the slowest of the three may have to wait

            leaving = pod(one, conditions={"ready": False, "serving": True, "terminating": True})
            serve(api, port, leaving, two, pod(three, conditions={"ready": False}))
            soon({two}, lambda: who(proxy))
            assert who(proxy, 50) == {two}

            life.close()  # the API server is gone, its port closed
            until = time.monotonic() + 2
            while time.monotonic() < until:
                assert who(proxy) == {two}

            api = life.enter_context(threaded(server))
            serve(api, port, three)
            soon({three}, lambda: who(proxy), 7)


def test_a_cluster_asked_by_tls_and_token_with_its_dtab_in_a_config_map(tmp_path: Path) -> None:
    one, two, _ = HOSTS
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("secret")
    server = ApiServer(token="secret", tls=server_context(authority, "kubernetes"))
    server.put("configmaps", "mesh", "dtabs", data={"main": "/svc => /#/io.l5d.k8s/shop/http"})
    with pods(one, two) as port, threaded(server) as api:
        tls = "{commonName: kubernetes, trustCerts: [ca.crt]}"
        access = f"host: 127.0.0.1, port: {server.port}, tokenFile: token, tls: {tls}"
        interpreter = f"{{kind: io.l5d.k8s.configMap, name: dtabs, filename: main, namespace: mesh, {access}}}"
        api.do(lambda server: put_slice(server, one, port=("http", port)))
        api.do(lambda server: put_slice(server, two, name="green-1", service="green", port=("http", port)))
        with agent(tmp_path, config(access, "/unused => /nowhere", interpreter)) as proxy:
            soon({one}, lambda: who(proxy), PATIENCE)

            subprocess.run(
                [*NODEAGENT, "dtab", "set", "main", "-", "--config", "l5d.yaml"],
                input="/svc => /#/io.l5d.k8s/shop/http ; /svc/users => /#/io.l5d.k8s/shop/http/green",
                cwd=tmp_path,
                check=True,
                text=True,
                capture_output=True,
            )
            soon({two}, lambda: who(proxy))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl: https://kubernetes.io/docs/tasks/tools/")
def test_through_kubectl_proxy(tmp_path: Path) -> None:
    one, two, _ = HOSTS
    server = ApiServer()
    with pods(one, two) as port, threaded(server) as api, kubectl_proxy(tmp_path, server.port) as proxied:
        serve(api, port, one)
        with agent(tmp_path, config(f"port: {proxied}")) as proxy:
            soon({one}, lambda: who(proxy), PATIENCE)
            serve(api, port, one, two)
            soon({two}, lambda: who(proxy) & {two})


@contextmanager
def kubectl_proxy(directory: Path, api_port: int) -> Iterator[int]:
    """The real `kubectl proxy` to an API server; its port."""
    command = ["kubectl", "proxy", "--port=0", f"--server=http://127.0.0.1:{api_port}", "--kubeconfig=/dev/null"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"HOME": str(directory)}
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r":(\d+)$", process.stdout.readline().strip())
            assert found
            yield int(found[1])
        finally:
            process.kill()
