"""Large transfers arrive whole or are errors; nothing is measured here."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.bulk import connect, download, length, read_head, sinks, swallow, transfer, upload
from bench.processes import BenchError, free_ports

COUNT = 10_000_000


def answering(reply: bytes) -> tuple[socket.socket, threading.Thread]:
    """A listener that sends *reply* to whoever asks, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(65536)
            sock.sendall(reply)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return listener, thread


def ask(reply: bytes, act: Callable[[socket.socket], None]) -> None:
    listener, thread = answering(reply)
    with listener, connect(listener.getsockname()[1]) as sock:
        act(sock)
    thread.join(10.0)


def test_an_upload_goes_to_a_sink_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as target:
        target.truncate(COUNT)
    with sinks() as (one, two):
        for port in (one, two, one):
            with connect(port) as sock:
                upload(sock, file, COUNT)
                upload(sock, file, 1)  # and the connection can be used again
    with pytest.raises(BenchError):
        connect(one)


def test_a_download_is_swallowed_whole() -> None:
    body = os.urandom(COUNT)
    ask(b"HTTP/1.1 200 OK\r\ncontent-LENGTH: %d\r\n\r\n%b" % (COUNT, body), lambda sock: download(sock, "/x", COUNT))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "ended 4 bytes early", id="ends early"),
        pytest.param(b"HTTP/1.1 502 No\r\nContent-Length: 9\r\n\r\n", "wanted 200 and 9 bytes", id="another status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n", "wanted 200 and 9 bytes", id="another length"),
        pytest.param(b"HTTP/1.1 200", "ended within a head", id="half a head"),
    ],
)
def test_a_download_that_is_not_whole_is_an_error(reply: bytes, error: str) -> None:
    with pytest.raises(BenchError, match=error):
        ask(reply, lambda sock: download(sock, "/x", 9))


def test_a_head_and_what_came_with_it() -> None:
    def read(sock: socket.socket) -> None:
        sock.sendall(b"?")
        assert read_head(sock) == (b"HTTP/1.1 200 OK\r\nA: b", 4)
        swallow(sock, 0)

    ask(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", read)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 17", 17, id="there"),
        pytest.param(b"POST /content-length: 3 HTTP/1.1\r\nHost: web", 0, id="not in the first line"),
        pytest.param(b"HTTP/1.1 200 OK", 0, id="none"),
    ],
)
def test_length(head: bytes, expected: int) -> None:
    assert length(head) == expected


def test_a_transfer_without_a_proxy_has_no_cost_of_one() -> None:
    assert set(transfer(None, lambda: None)) == {"errors", "mb_s"}


def test_nobody_there_is_an_error() -> None:
    (port,) = free_ports(1)
    with pytest.raises(BenchError, match=f"port {port}: "):
        connect(port)
