"""Every example is valid, says how to try it, and its discovery files are what they should be."""

from __future__ import annotations

import subprocess

import pytest

import conf
from namer.endpointfile import parse_endpoints
from nodeagent.cli.main import main
from tests.examples.driving import EXAMPLES
from tests.nodeagent.cli.processes import NODEAGENT

NAMES = sorted(path.name for path in EXAMPLES.glob("*.yaml") if path.name != "routes.yaml")
WITHOUT_FILES = [name for name in NAMES if name != "mutual-tls.yaml"]
"""Those that need no files that their headers make."""
FILES = sorted(path.name for path in (EXAMPLES / "disco").iterdir())


def test_there_are_examples() -> None:
    assert {"quickstart.yaml", "canary.yaml", "retries.yaml"} <= set(NAMES)


@pytest.mark.parametrize("name", WITHOUT_FILES)
def test_it_is_valid(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(EXAMPLES / name)

    assert main(["check", path]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{path}: valid (")
    assert err == ""


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("config", "out", "code"), [("fallback.yaml", "5 routes, all as expected", 0), ("canary.yaml", "", 1)]
)
def test_its_requests_go_where_the_table_says(config: str, out: str, code: int) -> None:
    command = [*NODEAGENT, "check", config, "--routes", "routes.yaml"]
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=False, timeout=30)

    assert (done.returncode, out in done.stdout) == (code, True)


@pytest.mark.parametrize("name", NAMES)
def test_it_listens_where_its_header_says(name: str) -> None:
    config = conf.read(str(EXAMPLES / name))

    first = [(server.ip, server.port) for server in config.routers[0].servers if server.name is None]
    assert first == [("127.0.0.1", 4140)]
    assert config.admin.port == 9990


@pytest.mark.parametrize("name", NAMES)
def test_its_header_says_how_to_try_it(name: str) -> None:
    lines = (EXAMPLES / name).read_text().splitlines()
    header = "\n".join(lines[: next(at for at, line in enumerate(lines) if not line.startswith("#"))])

    assert f"nodeagent run {name} &" in header
    assert "python3 backend.py " in header or "kubectl proxy" in header
    assert "curl " in header


@pytest.mark.parametrize("name", FILES)
def test_each_line_of_discovery_is_good(name: str) -> None:
    found = parse_endpoints((EXAMPLES / "disco" / name).read_text(), name)

    assert found.problems == ()
    assert {(line.target.host, line.target.port) for line in found.lines} <= {("127.0.0.1", 8081), ("127.0.0.1", 8082)}
