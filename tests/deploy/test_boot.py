"""The units on a booted systemd: a container with the host's /usr, an empty rest, and the agent as delivered.

Only where the program lies is changed, by a drop-in: the tests' own interpreter is used instead of an
installation in /opt/nodeagent.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BOOT_SECONDS = 90

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        shutil.which("systemd-nspawn") is None,
        reason="needs systemd-nspawn: apt-get install systemd-container",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to boot a container"),
]

CONFIGURATION = """
admin: {port: 9990}
namers:
- kind: io.l5d.fs
  rootDir: disco
routers:
- protocol: http
  label: outgoing
  dtab: /svc => /#/io.l5d.fs
  servers: [{port: 4140, ip: 127.0.0.1}]
"""

DROP_IN = """
[Service]
Environment=PYTHONPATH=/opt/source:/opt/packages PYTHONDONTWRITEBYTECODE=1
ExecStart=
ExecStart=/opt/python/bin/python3 -m nodeagent run /etc/nodeagent/nodeagent.yaml
WatchdogSec=3s
"""

USERS = """
[Service]
ExecStart=/opt/python/bin/python3 -m http.server --bind 127.0.0.1 8081
"""

OBSERVER = """
[Unit]
Wants=nodeagent.socket nodeagent.service users.service
After=nodeagent.socket nodeagent.service users.service
[Service]
Type=oneshot
TimeoutStartSec=75s
ExecStart=/opt/python/bin/python3 /opt/source/tests/deploy/observe.py
ExecStopPost=systemctl poweroff --force
"""


def container(files: Path) -> list[str]:
    """The command that boots it; *files* becomes its /x, and seen.json appears there."""
    units = "/etc/systemd/system"
    (files / "nodeagent").mkdir()
    (files / "nodeagent/disco").mkdir()
    written = {
        "nodeagent/nodeagent.yaml": CONFIGURATION,
        "nodeagent/disco/users": "localhost 8081\n",  # a name, so that the sandbox has to let it be resolved
        "hosts": "127.0.0.1 localhost\n",
        "nsswitch.conf": "hosts: files\n",
        "drop-in.conf": DROP_IN,
        "users.service": USERS,
        "observer.service": OBSERVER,
    }
    for name, text in written.items():
        (files / name).write_text(text)
    read_only = {
        sys.base_prefix: "/opt/python",
        sysconfig.get_path("purelib"): "/opt/packages",
        ROOT: "/opt/source",
        ROOT / "systemd/nodeagent.service": f"{units}/nodeagent.service",
        ROOT / "systemd/nodeagent.socket": f"{units}/nodeagent.socket",
        files / "drop-in.conf": f"{units}/nodeagent.service.d/test.conf",
        files / "users.service": f"{units}/users.service",
        files / "observer.service": f"{units}/observer.service",
        files / "nodeagent": "/etc/nodeagent",
        files / "hosts": "/etc/hosts",
        files / "nsswitch.conf": "/etc/nsswitch.conf",
    }
    isolation = ["--directory=/", "--volatile=yes", "--register=no", "--keep-unit", "--private-network"]
    binds = [f"--bind-ro={here}:{there}" for here, there in read_only.items()]
    # A relocated interpreter finds its own libpython, not the host's.
    settings = ["systemd.setenv=LD_LIBRARY_PATH=/opt/python/lib", "systemd.unit=observer.service"]
    quiet = ["systemd.show_status=no", "systemd.firstboot=off", "systemd.condition-first-boot=no"]
    return [
        "systemd-nspawn",
        "--quiet",
        *isolation,
        f"--bind={files}:/x",
        *binds,
        "--boot",
        *settings,
        *quiet,
    ]


def test_the_units_run_the_agent_as_promised(tmp_path: Path) -> None:
    command = ["timeout", "--kill-after=5", str(BOOT_SECONDS), *container(tmp_path)]
    console = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    report = tmp_path / "seen.json"
    assert report.exists(), console.stdout[-4000:] + console.stderr[-2000:]
    seen = json.loads(report.read_text())
    journal = seen.pop("journal")
    assert seen == {
        "started": {"ActiveState": "active", "SubState": "running", "NRestarts": "0", "Result": "success"},
        "privileges": {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"},
        "dynamic user": True,
        "call": 200,
        "call after kill": 200,  # it waited in the socket's backlog
        "call after hang": 200,  # the watchdog restarted it
        "restarts": {"NRestarts": "2"},
        "stopped": {"Result": "success", "ExecMainStatus": "0", "ActiveState": "inactive"},
    }, journal
