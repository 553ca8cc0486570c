"""What stands while a run lasts: a backend, two cores, a directory, and one proxy at a time."""

import http.client
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import HOST, Workload
from bench.peers import BACKEND, GIB, Peer, Site
from bench.processes import BenchError, Process, free_ports, pinned, running

READY_SECONDS = 20.0
POLL_SECONDS = 0.005
REPLY_SECONDS = 5.0
NO_REPLY = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Started:
    """A program that serves on *port*; *ready_seconds* went by between its spawn and its first 200."""

    process: Process
    port: int
    ready_seconds: float


@dataclass(frozen=True, slots=True)
class Stage:
    """The proxy has *proxy_core* for itself; backend, load generator and harness share *load_core*.

    *gib* is a file of 1 GiB, which the backend serves.
    """

    directory: Path
    proxy_core: int
    load_core: int
    backends: tuple[int, int]
    gib: Path

    @contextmanager
    def proxy(self, peer: Peer, backends: tuple[int, int] | None = None) -> Iterator[Started]:
        """*peer* on fresh ports before *backends*, else those of the stage, ready; stopped at the end.

        Raises BenchError when it does not get ready.
        """
        port, admin_port = free_ports(2)
        directory = Path(tempfile.mkdtemp(dir=self.directory, prefix=peer.name))
        site = Site(directory, port, admin_port, backends or self.backends)
        with started(peer, site, core=self.proxy_core) as it:
            yield it


@dataclass(frozen=True, slots=True)
class Ground:
    """A directory for everything that is written, and the two cores."""

    directory: Path
    proxy_core: int
    load_core: int


@contextmanager
def ground() -> Iterator[Ground]:
    """A place to measure in; it is gone afterwards, also on SIGTERM and Ctrl-C. The caller moves to the load's core.

    Raises BenchError when there are not two cores.
    """
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        raise BenchError("two cores are needed: one for the proxy, one for load and backend")
    proxy_core, load_core = sorted(cores)[:2]
    with ExitStack() as undo:
        undo.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler))
        undo.enter_context(pinned(load_core))
        yield Ground(
            Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="nodeagent-bench-"))), proxy_core, load_core
        )


@contextmanager
def stage() -> Iterator[Stage]:
    """Set up the backend and its surroundings, and take everything away again. Raises BenchError without a backend."""
    with ground() as it:
        one, two, unused = free_ports(3)
        site = Site(Path(tempfile.mkdtemp(dir=it.directory, prefix="backend")), unused, unused, (one, two))
        gib = site.directory / "gib"
        with gib.open("wb") as file:
            file.truncate(GIB)  # a hole: zeros that take no room
        with started(BACKEND, site, core=it.load_core):
            yield Stage(it.directory, it.proxy_core, it.load_core, (one, two), gib)


@contextmanager
def started(peer: Peer, site: Site, *, core: int) -> Iterator[Started]:
    """Write the files of *peer*, start it and wait until it is ready; it is stopped when the block ends.

    Raises BenchError when it is not here, does not get ready, or when the block fails because it ended.
    """
    program = peer.find()
    if program is None:
        raise BenchError(missing(peer))
    for name, text in peer.files(site).items():
        path = site.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    spawned = time.perf_counter()
    command = (*program, *peer.arguments(site))
    with running(peer.name, command, core=core, log=site.directory / "output") as process:
        _wait_ready(process, *peer.ready(site), deadline=spawned + READY_SECONDS)
        it = Started(process, site.port, time.perf_counter() - spawned)
        try:
            yield it
        except BenchError as error:
            if (code := process.exit_code()) is not None:  # then whatever failed, failed for this
                raise process.failed(f"ended with {code} while it was used") from error
            raise


def missing(peer: Peer) -> str:
    """What to tell somebody who has not installed *peer*."""
    return f"{peer.name}: not here: {peer.install}"


def version(peer: Peer) -> str:
    """The first x.y.z that *peer* prints as its version, "unknown" when it prints none."""
    program = peer.find()
    if program is None:
        return "not here"
    command = (*program, *peer.version)
    printed = subprocess.run(command, capture_output=True, text=True, timeout=READY_SECONDS, check=False)
    found = re.search(r"\d+\.\d+\.\d+", printed.stdout + printed.stderr)
    return found[0] if found else "unknown"


def check_reply(port: int, workload: Workload) -> None:
    """Raise BenchError unless the backend's reply comes through *port* whole."""
    try:
        reply = _ask(port, workload.path, timeout=REPLY_SECONDS, body=b"u" * workload.posts)
    except NO_REPLY as error:
        raise BenchError(f"no reply for {workload.path} through port {port}: {error!r}") from error
    status, body = reply
    if status != 200 or len(body) != workload.body_bytes:
        raise BenchError(
            f"wanted 200 and {workload.body_bytes} bytes for {workload.path} through port {port}, "
            f"got {status} and {len(body)} bytes: {body[:200]!r}"
        )


def _wait_ready(process: Process, port: int, path: str, *, deadline: float) -> None:
    # Under its address: an admin port may refuse to be asked under the name of a service.
    while not _is_ready(port, path):
        if (code := process.exit_code()) is not None:
            raise process.failed(f"ended with {code} before it was ready")
        if time.perf_counter() > deadline:
            raise process.failed(f"was not ready within {READY_SECONDS:g} s (GET {path})")
        time.sleep(POLL_SECONDS)


def _is_ready(port: int, path: str) -> bool:
    try:
        return _ask(port, path, timeout=1.0, host="127.0.0.1")[0] == 200
    except NO_REPLY:
        return False


def _ask(port: int, path: str, *, timeout: float, host: str = HOST, body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of one request for `host`, a POST if it has a *body*; raises one of NO_REPLY."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST" if body else "GET", path, body or None, {"Host": host})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
