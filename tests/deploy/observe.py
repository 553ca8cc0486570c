"""Runs as root inside the booted container of test_boot.py and writes what it saw to /x/seen.json.

A step that hangs is cut off by the time limit of its command; the container by that of the test.
"""

import json
import subprocess
import time
import traceback
import urllib.request
from collections.abc import Callable
from pathlib import Path

DYNAMIC_UIDS = range(61184, 65520)  # systemd's, of DynamicUser=


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return (done.stdout + done.stderr).strip()


def show(*names: str) -> dict[str, str]:
    lines = run("systemctl", "show", "nodeagent.service", *(f"--property={name}" for name in names))
    return dict(line.split("=", 1) for line in lines.splitlines())


def pid() -> str:
    return show("MainPID")["MainPID"]


def status(*names: str) -> dict[str, str]:
    """Lines of the agent's /proc/PID/status."""
    lines = Path("/proc", pid(), "status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: fields[name].split()[0] for name in names}


def call_users() -> int:
    request = urllib.request.Request("http://127.0.0.1:4140/", headers={"Host": "users"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return int(reply.status)


def after_kill() -> int:
    run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "nodeagent.service")
    return call_users()


def after_hang() -> int:
    hung = pid()
    run("kill", "-STOP", hung)
    deadline = time.monotonic() + 15
    while pid() in (hung, "0") and time.monotonic() < deadline:
        time.sleep(0.1)
    return call_users()


def after_stop() -> dict[str, str]:
    run("systemctl", "stop", "nodeagent.socket", "nodeagent.service")
    return show("Result", "ExecMainStatus", "ActiveState")


STEPS: dict[str, Callable[[], object]] = {
    "started": lambda: show("ActiveState", "SubState", "NRestarts", "Result"),
    "privileges": lambda: status("CapEff", "CapBnd", "NoNewPrivs", "Seccomp"),
    "dynamic user": lambda: int(status("Uid")["Uid"]) in DYNAMIC_UIDS,
    "call": call_users,
    "call after kill": after_kill,
    "call after hang": after_hang,
    "restarts": lambda: show("NRestarts"),
    "stopped": after_stop,
}


def observe() -> None:
    seen: dict[str, object] = {}
    for name, step in STEPS.items():
        try:
            seen[name] = step()
        except Exception:
            seen[name] = traceback.format_exc()
    seen["journal"] = run("journalctl", "--unit=nodeagent.service", "--unit=nodeagent.socket", "--no-pager")
    Path("/x/seen.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    observe()
