"""The systemd units, judged by systemd's own tools and against what the agent does by default."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

import conf

UNITS = Path(__file__).parents[2] / "systemd"
HOST_UNITS = Path("/usr/lib/systemd/system")
SMALLEST = """
routers:
- protocol: http
  servers: [{}]
"""

analyzed = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze: apt-get install systemd"
)


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parsed.read_string((UNITS / name).read_text())
    return parsed


def seconds(value: str) -> float:
    return float(value.removesuffix("s"))


@analyzed
def test_verify_finds_nothing_to_say(tmp_path: Path) -> None:
    """In a root of its own, so that nothing has to be installed on this host."""
    etc, program = tmp_path / "etc/systemd/system", tmp_path / "opt/nodeagent/bin/nodeagent"
    shutil.copytree(HOST_UNITS, tmp_path / "usr/lib/systemd/system", symlinks=True)
    shutil.copytree(UNITS, etc)
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)

    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={tmp_path}", "nodeagent.service", "nodeagent.socket"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@analyzed
def test_exposure_is_below_two() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", UNITS / "nodeagent.service"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_a_drain_ends_before_systemd_loses_patience() -> None:
    grace_ms = conf.load(SMALLEST, "smallest.yaml").admin.shutdown_grace_ms

    assert seconds(unit("nodeagent.service")["Service"]["TimeoutStopSec"]) > grace_ms / 1000


def test_the_socket_is_where_a_server_listens_by_default() -> None:
    server = conf.load(SMALLEST, "smallest.yaml").routers[0].servers[0]

    assert unit("nodeagent.socket")["Socket"]["ListenStream"] == f"{server.ip}:{server.port}"
