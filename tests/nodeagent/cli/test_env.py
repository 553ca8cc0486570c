"""The proxy variables, in each shell's language."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from nodeagent.cli.env import variables
from tests.nodeagent.cli.conftest import Cli
from tests.nodeagent.cli.processes import NODEAGENT

CONFIG = """
routers:
- protocol: http
  label: outgoing
  servers:
  - {{port: {port}, ip: "{ip}"}}
  - {{port: 4199}}
"""

BY_DEFAULT = {
    "http_proxy": "http://127.0.0.1:4140",
    "https_proxy": "http://127.0.0.1:4140",
    "no_proxy": "localhost,127.0.0.1,::1",
}


FOR_JAVA = "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=4140 -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=4140"


@pytest.fixture(autouse=True)
def _no_java_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_TOOL_OPTIONS", raising=False)


def test_sh_exports_both_spellings(cli: Cli) -> None:
    done = cli("env")

    assert done.code == 0
    assert done.out.splitlines() == [
        "export http_proxy=http://127.0.0.1:4140",
        "export https_proxy=http://127.0.0.1:4140",
        "export no_proxy=localhost,127.0.0.1,::1",
        "export HTTP_PROXY=http://127.0.0.1:4140",
        "export HTTPS_PROXY=http://127.0.0.1:4140",
        "export NO_PROXY=localhost,127.0.0.1,::1",
        f"export JAVA_TOOL_OPTIONS='{FOR_JAVA}'",
    ]


def test_fish_sets_them(cli: Cli) -> None:
    assert cli("env", "--shell", "fish").out.splitlines()[0] == "set -gx http_proxy http://127.0.0.1:4140;"


def test_json_is_one_object(cli: Cli) -> None:
    upper = {name.upper(): value for name, value in BY_DEFAULT.items()}

    java = {"JAVA_TOOL_OPTIONS": FOR_JAVA}

    assert json.loads(cli("env", "--shell", "json").out) == BY_DEFAULT | upper | java


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("-javaagent:/opt/a.jar -Xmx1g", f"-javaagent:/opt/a.jar -Xmx1g {FOR_JAVA}", id="others stay"),
        pytest.param(FOR_JAVA, FOR_JAVA, id="evaluated twice"),
        pytest.param(
            "-Da='x  y' -Dhttp.proxyHost=old -Dhttp.proxyPort=1 -Dhttp.proxyUser=me",
            f"-Da='x  y' -Dhttp.proxyUser=me {FOR_JAVA}",
            id="another proxy gives way",
        ),
    ],
)
def test_javas_options_are_added_to(before: str, after: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", before)

    assert json.loads(cli("env", "--shell", "json").out)["JAVA_TOOL_OPTIONS"] == after


@pytest.mark.parametrize(
    ("ip", "port", "url"),
    [
        pytest.param("127.0.0.1", 4140, "http://127.0.0.1:4140", id="loopback"),
        pytest.param("0.0.0.0", 81, "http://127.0.0.1:81", id="all addresses"),
        pytest.param("::", 81, "http://[::1]:81", id="all IPv6 addresses"),
        pytest.param("::1", 4140, "http://[::1]:4140", id="IPv6 loopback"),
        pytest.param("10.1.2.3", 4140, "http://10.1.2.3:4140", id="one address"),
    ],
)
def test_the_address_is_one_that_a_program_here_can_reach(ip: str, port: int, url: str) -> None:
    assert variables(ip, port)["http_proxy"] == url


def test_the_first_listener_of_a_configuration_is_meant(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(CONFIG.format(port=4177, ip="0.0.0.0"))

    assert "export http_proxy=http://127.0.0.1:4177\n" in cli("env", "--config", str(config)).out


def test_a_port_that_is_not_fixed_cannot_be_told(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(CONFIG.format(port=0, ip="127.0.0.1"))

    done = cli("env", "--config", str(config))

    assert (done.code, done.out) == (1, "")
    assert done.err == f"nodeagent: {config}: the first listener takes any free port; give it a port to find it by\n"


def test_a_bad_configuration_is_told_as_check_does(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text("routers: []\n")

    done = cli("env", "--config", str(config))

    assert done.code == 1
    assert done.err.startswith(f"{config}:1:10: routers: ")


@pytest.mark.e2e
def test_a_shell_evaluates_it() -> None:
    script = 'eval "$("$@" env)"; printf "%s\\n" "$http_proxy" "$https_proxy" "$NO_PROXY"; env | grep -ci _proxy='
    done = subprocess.run(
        ["sh", "-c", script, "sh", *NODEAGENT], env={}, capture_output=True, text=True, timeout=20, check=True
    )

    assert done.stdout.splitlines() == [*BY_DEFAULT.values(), "6"]
