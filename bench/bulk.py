"""1 GiB down or up through one connection: how fast, and what it costs the proxy.

What is received is dropped in the kernel (MSG_TRUNC, tcp(7)), and what is sent comes from the page cache by
sendfile(2): so neither end of the transfer touches the bytes, and both are quicker than any proxy between them.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.peers import GIB, Peer
from bench.processes import BenchError, Process
from bench.results import Sample
from bench.stage import Stage

TIMEOUT = 60.0
"""Seconds without progress that end a transfer."""
STEP = 4 << 20

_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def connect(port: int) -> socket.socket:
    """A connection to 127.0.0.1; raises BenchError when there is none to be had."""
    try:
        sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    except OSError as error:
        raise BenchError(f"port {port}: {error}") from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    return sock


def read_head(sock: socket.socket) -> tuple[bytes, int]:
    """The head that comes next, and how many bytes came after it already. Raises BenchError at an early end."""
    held = b""
    while b"\r\n\r\n" not in held:
        try:
            data = sock.recv(65536)
        except OSError as error:
            raise BenchError(f"instead of a head: {error}") from error
        if not data:
            raise BenchError(f"the connection ended within a head: {held[:200]!r}")
        held += data
    head, _, rest = held.partition(b"\r\n\r\n")
    return head, len(rest)


def length(head: bytes) -> int:
    """The Content-Length of a head, 0 when it has none."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def swallow(sock: socket.socket, count: int) -> None:
    """Drop so many bytes of what comes. Raises BenchError when they do not come."""
    room = bytearray(STEP)
    left = count
    while left > 0:
        try:
            taken = sock.recv_into(room, min(left, STEP), socket.MSG_TRUNC)
        except OSError as error:
            raise BenchError(f"{left:,} of {count:,} bytes did not come: {error}") from error
        if not taken:
            raise BenchError(f"the connection ended {left:,} bytes early")
        left -= taken


def download(sock: socket.socket, path: str, count: int) -> None:
    """GET *path*, which has so many bytes. Raises BenchError when it does not come whole."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: web\r\n\r\n".encode())
    head, early = read_head(sock)
    if b" 200 " not in head.partition(b"\r\n")[0] or length(head) != count:
        raise BenchError(f"wanted 200 and {count} bytes, got {head[:200]!r}")
    swallow(sock, count - early)


def upload(sock: socket.socket, file: Path, count: int) -> None:
    """POST so many bytes of *file*. Raises BenchError unless they are taken and answered with 200."""
    sock.sendall(f"POST /upload HTTP/1.1\r\nHost: web\r\nContent-Length: {count}\r\n\r\n".encode())
    with file.open("rb") as source:
        try:
            sent = sock.sendfile(source, 0, count)
        except OSError as error:
            raise BenchError(f"the upload ended early: {error}") from error
    head, _ = read_head(sock)
    if sent != count or b" 200 " not in head.partition(b"\r\n")[0]:
        raise BenchError(f"sent {sent} bytes, wanted 200, got {head[:200]!r}")


def transfer(process: Process | None, move: Callable[[], None]) -> Sample:
    """What moving 1 GiB took, and what it cost *process*."""
    before = process.cpu_seconds() if process else 0.0
    started = time.perf_counter()
    move()
    sample = {"errors": 0.0, "mb_s": GIB / 1e6 / (time.perf_counter() - started)}
    if process is None:
        return sample
    used = process.cpu_seconds() - before
    return {**sample, "cpu_ms_gib": used * 1e3, "loaded_mb": process.resident_bytes() / 1e6}


def measure_down(stage: Stage, peer: Peer, seconds: int) -> Sample:  # noqa: ARG001
    """1 GiB down through *peer*. Raises BenchError when it does not come whole."""
    with stage.proxy(peer) as proxy, connect(proxy.port) as sock:
        return transfer(proxy.process, lambda: download(sock, "/gib", GIB))


def direct_down(stage: Stage, seconds: int) -> Sample:  # noqa: ARG001
    """The same with nothing between."""
    with connect(stage.backends[0]) as sock:
        return transfer(None, lambda: download(sock, "/gib", GIB))


def measure_up(stage: Stage, peer: Peer, seconds: int) -> Sample:  # noqa: ARG001
    """1 GiB up through *peer*. Raises BenchError when it is not taken whole."""
    with sinks() as ports, stage.proxy(peer, ports) as proxy, connect(proxy.port) as sock:
        return transfer(proxy.process, lambda: upload(sock, stage.gib, GIB))


def direct_up(stage: Stage, seconds: int) -> Sample:  # noqa: ARG001
    """The same with nothing between."""
    with sinks() as ports, connect(ports[0]) as sock:
        return transfer(None, lambda: upload(sock, stage.gib, GIB))


@contextmanager
def sinks() -> Iterator[tuple[int, int]]:
    """Two endpoints, in threads of this process, that drop every body and answer with 200; gone afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        for listener in (one, two):
            threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        try:
            yield one.getsockname()[1], two.getsockname()[1]
        finally:
            for listener in (one, two):
                with suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)  # wakes the thread, which closing does not


def _accept(listener: socket.socket) -> None:
    with suppress(OSError):  # it is closed
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_drop, args=(sock,), daemon=True).start()


def _drop(sock: socket.socket) -> None:
    with sock, suppress(BenchError, OSError):  # whoever sends sees the end
        while True:
            head, early = read_head(sock)
            swallow(sock, length(head) - early)
            sock.sendall(_RESPONSE)
