"""The bundle for a bug report: what is in it, and what must not be."""

from __future__ import annotations

import json
import signal
import tarfile
from pathlib import Path

import pytest

from nodeagent.cli.support import PAGES, cleaned
from tests.nodeagent.cli.conftest import Cli
from tests.nodeagent.cli.processes import backend, fetch, ports, started

SECRETS = ("hunter2", "tr0ub4dor", "c0rrect-horse", "battery-staple")
"""Planted where secrets end up, wanted or not."""

CONFIG = """
admin: {{port: 0, token: c0rrect-horse-battery, publicPaths: [/live]}}
namers:
- {{kind: io.l5d.fs, rootDir: "{disco}"}}
- {{kind: io.l5d.consul, host: 127.0.0.1, port: 1, token: tr0ub4dor}}
routers:
- protocol: http
  label: outgoing
  dtab: /svc => /#/io.l5d.consul/.local | /#/io.l5d.fs
  bindingTimeoutMs: 500
  servers: [{{port: 0}}]
"""


@pytest.mark.e2e
def test_a_bundle_has_what_helps_and_no_secret(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODEAGENT_ADMIN_TOKEN", "c0rrect-horse-battery")
    bundle = tmp_path / "bundle.tar.gz"
    with backend(lambda _: (200, "ok")) as port:
        (tmp_path / "web").write_text(f"127.0.0.1 {port}\n")
        with started("run", "-", stdin=CONFIG.format(disco=tmp_path)) as agent:
            found = ports(agent, 2)
            fetch(found["router outgoing"], "web", "/pay?password=hunter2&card=battery-staple")
            fetch(found["router outgoing"], "web", "/x", headers={"l5d-dtab": "/svc/token=hunter2 => /svc/web"})
            admin = ("--admin", f"http://127.0.0.1:{found['admin']}")
            done = cli("support", *admin, "-o", str(bundle))
            again = cli("support", *admin, "-o", str(bundle))
            agent.signal(signal.SIGTERM)
            agent.end()

    assert done.code == 0
    assert done.out.startswith(f"{bundle}: ")
    assert bundle.stat().st_mode & 0o777 == 0o600
    assert (again.code, again.err) == (1, f"nodeagent: {bundle}: is there already; name another file with -o\n")
    with tarfile.open(bundle) as tar:
        files = {Path(each.name).name: tar.extractfile(each).read().decode() for each in tar}  # type: ignore[union-attr]
    manifest = json.loads(files["manifest.json"])
    assert set(manifest["files"]) | set(manifest["missing"]) == {*PAGES, "system.json"}
    assert set(manifest["missing"]) == {"workers.json", "identity.json"}  # there is one process, and no `identity`
    for name, text in files.items():
        for secret in SECRETS:
            assert secret not in text, name
    assert "/svc/web" in files["requests.json"]
    assert f"127.0.0.1:{port}" in files["client_state.json"]
    assert "nodeagent_service_requests_total" in files["metrics.txt"]
    assert json.loads(files["system.json"])["packages"]["trio"]


def test_what_is_no_json_is_redacted_all_the_same() -> None:
    assert cleaned("log.json", b'{"token": "hunter2"') == b'{"token": REDACTED'


def test_no_agent_no_bundle(cli: Cli, tmp_path: Path) -> None:
    done = cli("support", "--admin", "http://127.0.0.1:1", "-o", str(tmp_path / "x"))
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert not any(tmp_path.iterdir())
