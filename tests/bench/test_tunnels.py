"""Tunnels: who is asked for one and how, and what is exchanged in them."""

import socket
import threading
from pathlib import Path

import pytest

from bench.peers import AGENT, SMALL_BODY, Peer, Site, named
from bench.processes import BenchError
from bench.tunnels import PEERS, REQUEST, Exchanges, opened

SITE = Site(Path("/run/site"), port=14140, admin_port=19990, backends=(18081, 18082))


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_each_listens_and_leads_to_both_endpoints(peer: Peer) -> None:
    files = peer.files(SITE)
    text = "\n".join(files.values())
    assert all(str(port) in text for port in (SITE.port, *SITE.backends))
    assert {str(SITE.directory / name) for name in files} & set(peer.arguments(SITE))


def serve(listener: socket.socket, *replies: bytes) -> None:
    """Answer what comes on one connection with one reply after the other."""

    def run() -> None:
        sock, _ = listener.accept()
        with sock:
            for reply in replies:
                sock.recv(65536)
                sock.sendall(reply)

    threading.Thread(target=run, daemon=True).start()


def test_the_agent_is_asked_by_connect_and_haproxy_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        serve(listener, b"HTTP/1.1 200 OK\r\n\r\n", b"in the tunnel")
        with opened(AGENT, port) as sock:
            sock.sendall(b"x")
            assert sock.recv(100) == b"in the tunnel"
        serve(listener, b"at once")
        with opened(named("haproxy"), port) as sock:
            sock.sendall(b"x")
            assert sock.recv(100) == b"at once"


def test_a_tunnel_that_is_refused_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serve(listener, b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        with pytest.raises(BenchError, match=r"agent: refused a tunnel: .*502"):
            opened(AGENT, listener.getsockname()[1]).close()


REPLY = b"HTTP/1.1 200 OK\r\n\r\n" + b"s" * SMALL_BODY


def test_exchanges_are_counted_and_timed() -> None:
    near, far = socket.socketpair()
    with near, far:

        def answer() -> None:
            while far.recv(65536) == REQUEST:
                far.sendall(REPLY)

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        exchanges = Exchanges()
        exchanges.run([near], 0.05)
        far.shutdown(socket.SHUT_RDWR)
        answering.join()

    sample = exchanges.sample()
    assert exchanges.count == len(exchanges.latencies) > 0
    assert exchanges.seconds >= 0.05
    assert 0.0 < sample["p50_ms"] <= sample["p99_ms"] <= sample["p999_ms"]


@pytest.mark.parametrize("reply", [b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b""], ids=["another reply", "the end"])
def test_an_exchange_that_fails_is_an_error(reply: bytes) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(reply)
        far.shutdown(socket.SHUT_WR)
        with pytest.raises(BenchError, match="something else than the reply"):
            Exchanges().run([near], 1.0)
