"""10,000 keep-alive connections after one request each: what each holds, and what is left when all are gone."""

from __future__ import annotations

import resource
import select
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from bench import load
from bench.bulk import TIMEOUT, length, read_head, swallow
from bench.load import WORKLOADS
from bench.peers import CONNECTIONS, Peer, Site
from bench.processes import BenchError
from bench.results import Sample
from bench.stage import Stage
from bench.tunnels import REQUEST

COUNT = 10_000
ROOM = 12_000  # connections that nginx and HAProxy are told to have room for
SPARE_DESCRIPTORS = 1_000
PER_ADDRESS = 5_000
SETTLE_SECONDS = 3.0


def measure(stage: Stage, peer: Peer, seconds: int) -> Sample:
    """Open them, wait, close them. Raises BenchError when one is refused, closed early or not answered."""
    count = allowed()  # before the proxy is started, which inherits it
    with stage.proxy(roomy(peer)) as proxy:
        process = proxy.process
        load.run(WORKLOADS["small"], proxy.port, 1, core=stage.load_core, directory=stage.directory)
        before = process.resident_bytes()
        with ExitStack() as held:
            socks = [held.enter_context(asked(proxy.port, number)) for number in range(count)]
            held_bytes = process.resident_bytes()
            used = process.cpu_seconds()
            started = time.perf_counter()
            time.sleep(seconds)
            idle_cpu = (process.cpu_seconds() - used) / (time.perf_counter() - started)
            check_open(socks)
        time.sleep(SETTLE_SECONDS)
        after = process.resident_bytes()
    return {
        "errors": 0.0,
        "kb_connection": (held_bytes - before) / count / 1e3,
        "cpu_percent": idle_cpu * 100,
        "before_mb": before / 1e6,
        "loaded_mb": held_bytes / 1e6,
        "after_mb": after / 1e6,
        "after_ratio": after / before,
    }


def allowed() -> int:
    """How many connections the descriptors of a process suffice for, COUNT at most; asks for all that it may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = COUNT if most == resource.RLIM_INFINITY else min(COUNT, most - SPARE_DESCRIPTORS)
    if count < COUNT / 10:
        raise BenchError(f"a process may have {most} descriptors only: ulimit -n {COUNT + SPARE_DESCRIPTORS}")
    return count


def asked(port: int, number: int) -> socket.socket:
    """A connection after its first reply; *number* chooses one of several source addresses, each has ports enough."""
    try:
        sock = socket.create_connection(("127.0.0.1", port), TIMEOUT, (f"127.0.0.{2 + number // PER_ADDRESS}", 0))
    except OSError as error:
        raise BenchError(f"connection {number}: {error}") from error
    try:
        sock.sendall(REQUEST)
        head, early = read_head(sock)
        swallow(sock, length(head) - early)
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise BenchError(repr(head[:200]))
    except (OSError, BenchError) as error:
        sock.close()
        raise BenchError(f"connection {number}: {error}") from error
    return sock


def check_open(socks: Sequence[socket.socket]) -> None:
    """Raise BenchError when anything came on one of them, which can only be its end."""
    with select.epoll() as poll:
        for sock in socks:
            poll.register(sock, select.EPOLLIN | select.EPOLLRDHUP)
        if gone := poll.poll(0):
            raise BenchError(f"{len(gone)} or more of {len(socks):,} idle connections were closed")


def roomy(peer: Peer) -> Peer:
    """*peer* with room for all the connections."""

    def files(site: Site) -> dict[str, str]:
        texts = {name: text.replace(str(CONNECTIONS), str(ROOM)) for name, text in peer.files(site).items()}
        if "haproxy.cfg" in texts:  # it wants two descriptors for each, and needs one for those that idle
            texts["haproxy.cfg"] = texts["haproxy.cfg"].replace("global\n", "global\n  no strict-limits\n")
        return texts

    return replace(peer, files=files)
