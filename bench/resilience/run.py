"""Runs one proxy through one experiment: backends, the proxy and the load, each a process of its own."""

from __future__ import annotations

import http.client
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench.peers import Peer, Site
from bench.processes import BenchError, free_ports, running
from bench.resilience import backends, load
from bench.resilience.backends import Arrivals
from bench.resilience.figures import Figures, figures
from bench.resilience.load import Seen
from bench.resilience.proxies import Variant
from bench.resilience.scenario import Scenario
from bench.stage import Ground, started

LEAD = 1.5
"""Seconds between the announcement of a run and its first request: the load has to start."""
SPARE = 10.0
"""Seconds that a run may take beyond its time."""
CHECK_SECONDS = 30.0
"""Seconds that the check of a configuration may take."""


def measure(ground: Ground, scenario: Scenario, variant: Variant) -> Figures:
    """Start *variant* before the backends of *scenario* and put the load on it. Raises BenchError."""
    control, port, admin_port, *ports = free_ports(3 + len(scenario.backends))
    site = Site(_directory(ground, variant.name), port, admin_port, tuple(ports))
    spelled = msgspec.json.encode(scenario).decode()
    with (
        started(_backends(spelled, control), site, core=ground.load_core),
        started(variant.peer, site, core=ground.proxy_core),
    ):
        begin = time.monotonic() + LEAD + scenario.warm_up
        _ask(control, f"/begin/{begin}")
        seen = _load(ground, scenario, spelled, port, begin)
        arrivals = msgspec.json.decode(_ask(control, "/arrivals"), type=Arrivals)
    if not seen.outcome:
        raise BenchError(f"{variant.name}: no request was sent")
    return figures(scenario, seen, arrivals)


def refusal(ground: Ground, variant: Variant) -> str | None:
    """Why the agent does not take the configuration of *variant*; None when it does. Raises BenchError without it."""
    program = variant.peer.find()
    if program is None:
        raise BenchError(f"{variant.name}: not here: {variant.peer.install}")
    path = _directory(ground, variant.name) / "agent.yaml"
    port, admin_port, backend = free_ports(3)
    path.write_text(variant.peer.files(Site(path.parent, port, admin_port, (backend,)))[path.name])
    command = (*program, "check", str(path))
    try:
        checked = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{variant.name}: did not check its configuration within {CHECK_SECONDS:g} s") from error
    if checked.returncode == 0:
        return None
    return (checked.stderr or checked.stdout).strip().partition("\n")[0].removeprefix(f"{path}:")


def _backends(spelled: str, control: int) -> Peer:
    """The process with all the backends; a site's ports are theirs."""
    return Peer(
        name="backends",
        install="",
        find=lambda: (sys.executable, "-m", backends.__name__),
        version=(),
        files=lambda _: {},
        arguments=lambda site: (spelled, str(control), *map(str, site.backends)),
        ready=lambda _: (control, "/ready"),
    )


def _load(ground: Ground, scenario: Scenario, spelled: str, port: int, begin: float) -> Seen:
    command = (sys.executable, "-m", load.__name__, spelled, str(port), str(begin))
    log = _directory(ground, "load") / "output"
    limit = LEAD + scenario.warm_up + scenario.seconds + scenario.timeout + SPARE
    with running("load", command, core=ground.load_core, log=log) as process:
        if (code := process.wait(limit)) != 0:
            raise process.failed(f"ended with {code}")
        try:
            return msgspec.json.decode(process.output(), type=Seen)
        except msgspec.DecodeError as error:
            raise process.failed(f"printed no figures: {error}") from error


def _directory(ground: Ground, name: str) -> Path:
    return Path(tempfile.mkdtemp(dir=ground.directory, prefix=name))


def _ask(control: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", control, timeout=SPARE)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"backends: {path}: {error}") from error
    finally:
        connection.close()
