"""Room for many connections in every peer, and connections that have had their reply."""

import socket
import threading
from pathlib import Path

import pytest

from bench.idle import ROOM, asked, check_open, roomy
from bench.peers import CONNECTIONS, PEERS, Peer, Site
from bench.processes import BenchError

SITE = Site(Path("/run/site"), port=14140, admin_port=19990, backends=(18081, 18082))


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_whoever_counts_connections_has_room_for_all(peer: Peer) -> None:
    before, after = ("".join(each.files(SITE).values()) for each in (peer, roomy(peer)))
    assert str(CONNECTIONS) not in after
    assert (str(ROOM) in after) == (str(CONNECTIONS) in before)


@pytest.mark.parametrize("status", [200, 503])
def test_a_connection_is_there_after_its_first_reply(status: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, address = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 %d x\r\nContent-Length: 9\r\n\r\n%9b" % (status, address[0].encode()))

        threading.Thread(target=answer, daemon=True).start()
        if status != 200:
            with pytest.raises(BenchError, match=r"connection 7: .*503"):
                asked(listener.getsockname()[1], 7)
            return
        with asked(listener.getsockname()[1], 7_000) as sock:
            assert sock.getsockname()[0] == "127.0.0.3"


def test_a_connection_that_was_closed_is_no_idle_one() -> None:
    near, far = socket.socketpair()
    with near:
        with far:
            check_open([near])
        with pytest.raises(BenchError, match="1 or more of 1 idle connections were closed"):
            check_open([near])
