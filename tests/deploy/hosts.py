"""Hosts with a network of their own, joined by cables, and what passes over these. Needs root."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, TypeVar

NODEAGENT: Final = (sys.executable, "-W", "error", "-m", "nodeagent")
PATIENCE: Final = 20.0

CLONE_NEWNET: Final = 0x40000000

T = TypeVar("T")


@dataclass(frozen=True)
class Host:
    """A network namespace; `folder` is where what runs there has its files."""

    name: str
    namespace: str
    folder: Path

    def within(self, call: Callable[[], T]) -> T:
        """Call this on the host: sockets that it makes belong there."""
        result: Future[T] = Future()

        def run() -> None:
            try:
                with Path("/run/netns", self.namespace).open() as file:
                    if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                result.set_result(call())
            except BaseException as error:
                result.set_exception(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return result.result()

    def command(self, *words: str) -> tuple[str, ...]:
        """What runs a program there."""
        return ("ip", "netns", "exec", self.namespace, *words)

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `nodeagent` there."""
        pipe, log = subprocess.PIPE, (self.folder / "log").open("a")
        command = self.command(*NODEAGENT, *arguments)
        with log:
            return subprocess.Popen(command, cwd=self.folder, stdout=pipe, stderr=log, text=True)

    def run(self, *arguments: str) -> str:
        """Run `nodeagent` there to its end, and return what it prints."""
        with self.popen(*arguments) as process:
            out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, (arguments, (self.folder / "log").read_text())
        return out

    @contextmanager
    def running(self, *arguments: str, listeners: int) -> Iterator[None]:
        """`nodeagent` there, once it has told of so many listeners, for the time of the block."""
        with self.popen(*arguments) as process:
            assert process.stdout is not None
            killer = threading.Timer(3 * PATIENCE, process.kill)
            killer.start()
            try:
                for _ in range(listeners):
                    assert "listening" in process.stdout.readline(), (self.folder / "log").read_text()
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(PATIENCE)
                killer.cancel()

    def ask(self, port: int, name: str, path: str = "/", times: int = 1) -> list[tuple[int, str]]:
        """The answers to so many requests on one connection to a port of this host."""

        def call() -> list[tuple[int, str]]:
            connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            answers = []
            for _ in range(times):
                connection.request("GET", path, headers={"Host": name})
                response = connection.getresponse()
                answers.append((response.status, response.read().decode()))
            connection.close()
            return answers

        return self.within(call)

    @contextmanager
    def serving(self, address: str, port: int) -> Iterator[list[dict[str, str]]]:
        """A plain service there that answers with its host's name. Yields the fields of each request."""
        seen: list[dict[str, str]] = []
        name = self.name

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                seen.append({key.lower(): value for key, value in self.headers.items()})
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        with self.within(lambda: ThreadingHTTPServer((address, port), Handler)) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield seen
            finally:
                server.shutdown()
                thread.join()

    @contextmanager
    def recording(self, interface: str) -> Iterator[Path]:
        """What passes over an interface in TCP, as a file that is whole at the end of the block."""
        file = self.folder / "capture"
        words = self.command(
            "tcpdump", "-i", interface, "-s", "0", "-B", "16384", "-U", "-w", "-", "--immediate-mode", "tcp"
        )
        with (
            file.open("wb") as sink,
            subprocess.Popen(words, stdout=sink, stderr=subprocess.PIPE, text=True) as process,
        ):
            assert process.stderr is not None
            assert "listening on" in process.stderr.readline()
            try:
                yield file
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(PATIENCE)


@contextmanager
def hosts(folder: Path, *names: str) -> Iterator[tuple[Host, ...]]:
    """Hosts of these names. The first has a cable to each other: from 10.77.N.1 on `ethN` to 10.77.N.2 on `eth0`."""
    made = tuple(Host(name, f"na-{os.getpid()}-{name}", folder / name) for name in names)
    try:
        for host in made:
            host.folder.mkdir()
            _ip("netns", "add", host.namespace)
            _ip("-n", host.namespace, "link", "set", "lo", "up")
        first = made[0].namespace
        for number, host in enumerate(made[1:], 1):
            other, here = host.namespace, f"eth{number}"
            _ip("-n", first, "link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", other)
            for namespace, interface, address in ((first, here, 1), (other, "eth0", 2)):
                _ip("-n", namespace, "address", "add", f"10.77.{number}.{address}/24", "dev", interface)
                _ip("-n", namespace, "link", "set", interface, "up")
        yield made
    finally:
        for host in made:
            subprocess.run(["ip", "netns", "delete", host.namespace], check=False, capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def streams(capture: bytes) -> dict[tuple[bytes, bytes], bytes]:
    """What each side of each TCP connection has said, by source and destination, of a capture of IPv4 on Ethernet.

    Format: draft-ietf-opsawg-pcap. A byte that is missing, or there twice with different values, is an error.
    """
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}[capture[:4]]
    assert struct.unpack(f"{order}I", capture[20:24]) == (1,), "no Ethernet"
    pieces: dict[tuple[bytes, bytes], list[tuple[int, bytes]]] = defaultdict(list)
    begins: dict[tuple[bytes, bytes], int] = {}
    at = 24
    while at < len(capture):
        size, whole = struct.unpack(f"{order}8x2I", capture[at : at + 16])
        assert size == whole, "cut by the capture"
        packet = capture[at + 30 : at + 16 + size][: int.from_bytes(capture[at + 32 : at + 34], "big")]
        at += 16 + size
        segment = packet[(packet[0] & 15) * 4 :]
        key = (packet[12:16] + segment[0:2], packet[16:20] + segment[2:4])
        number = int.from_bytes(segment[4:8], "big")
        if segment[13] & 2:  # SYN
            begins[key] = number + 1
        if payload := segment[(segment[12] >> 4) * 4 :]:
            pieces[key].append(((number - begins[key]) % 2**32, payload))
    return {key: _whole(found) for key, found in pieces.items()}


def _whole(pieces: list[tuple[int, bytes]]) -> bytes:
    said = bytearray()
    for offset, piece in sorted(pieces):
        assert offset <= len(said), "something is missing"
        again = said[offset : offset + len(piece)]
        assert piece.startswith(again)
        said += piece[len(again) :]
    return bytes(said)


def records(stream: bytes) -> list[tuple[int, bytes]]:
    """A stream as records of TLS, each with its type (RFC 8446, 5.1). Raises AssertionError if it is something else."""
    found, at = [], 0
    while at < len(stream):
        kind, major, minor, size = struct.unpack("!BBBH", stream[at : at + 5])
        assert kind in (20, 21, 22, 23), stream[at : at + 80]
        assert (major, minor in (1, 3), size <= 2**14 + 256) == (3, True, True), stream[at : at + 80]
        found.append((kind, stream[at + 5 : at + 5 + size]))
        at += 5 + size
    assert at == len(stream), "the last record is not whole"
    return found


def version_of(server_hello: bytes) -> bytes:
    """The version that a server has chosen: that of `supported_versions` (RFC 8446, 4.2.1), or else the old field."""
    assert server_hello[0] == 2, "no ServerHello"
    at = 4 + 2 + 32
    at += 1 + server_hello[at] + 2 + 1
    end = at + 2 + int.from_bytes(server_hello[at : at + 2], "big")
    at += 2
    while at < end:
        kind, size = struct.unpack("!2H", server_hello[at : at + 4])
        if kind == 43:
            return server_hello[at + 4 : at + 4 + size]
        at += 4 + size
    return server_hello[4:6]
