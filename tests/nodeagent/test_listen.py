"""Listening sockets: bound, refused with advice, inherited; and whose ports are our own."""

from __future__ import annotations

import pathlib
import socket
import stat

import pytest

from namer.addr import Endpoint
from nodeagent.listen import ListenError, Listening, OwnPorts, address, is_local, listen, listen_unix, take_inherited


def test_a_free_port_is_found_and_told() -> None:
    with listen("router x", "127.0.0.1", 0) as sock:
        host, port = address(sock)

        assert (host, port > 0) == ("127.0.0.1", True)
        assert str(Listening("router x", host, port)) == f"router x on 127.0.0.1:{port}"


def test_an_ipv6_listener_is_written_in_brackets() -> None:
    assert str(Listening("admin", "::1", 9990)) == "admin on [::1]:9990"


def test_a_taken_port_is_refused_with_advice() -> None:
    with listen("router x", "127.0.0.1", 0) as sock:
        _, port = address(sock)

        with pytest.raises(ListenError, match=rf"^admin on 127\.0\.0\.1:{port} cannot listen: the port is taken; "):
            listen("admin", "127.0.0.1", port)


def test_an_address_of_another_host_is_refused_with_advice() -> None:
    with pytest.raises(ListenError, match="this host has no such address"):
        listen("router x", "192.0.2.1", 4140)


def test_two_processes_may_share_a_port_when_both_say_so() -> None:
    with (
        listen("router x", "127.0.0.1", 0, reuse_port=True) as first,
        listen("router x", "127.0.0.1", address(first)[1], reuse_port=True) as second,
    ):
        assert address(first) == address(second)


def test_an_inherited_socket_is_taken_by_its_address() -> None:
    with listen("a", "127.0.0.1", 0) as first, listen("b", "127.0.0.1", 0) as second:
        inherited = [first, second]

        assert take_inherited(inherited, *address(second)) is second
        assert take_inherited(inherited, "127.0.0.1", 1) is None
        assert inherited == [first]


@pytest.mark.parametrize(
    ("host", "port", "own"),
    [
        pytest.param("127.0.0.1", 4140, True, id="a listener"),
        pytest.param("127.0.0.1", 4141, False, id="another port"),
        pytest.param("127.0.0.2", 4140, False, id="another address"),
        pytest.param("127.0.0.5", 4142, True, id="a port that listens everywhere, by any local address"),
        pytest.param("192.0.2.1", 4142, False, id="the same port of another host"),
        pytest.param("0.0.0.0", 4140, True, id="0.0.0.0 leads to loopback"),
        pytest.param("::ffff:127.0.0.1", 4140, True, id="the same address, IPv4-mapped"),
        pytest.param("::ffff:127.0.0.5", 4142, True, id="any local address, IPv4-mapped"),
    ],
)
def test_whose_port_it_is(host: str, port: int, own: bool) -> None:
    ports = OwnPorts()
    ports.add([("127.0.0.1", 4140), ("0.0.0.0", 4142)])

    assert (Endpoint(host, port) in ports) is own


@pytest.mark.parametrize(("host", "local"), [("127.0.0.1", True), ("127.1.2.3", True), ("192.0.2.1", False)])
def test_local_addresses(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_sockets_do_not_block() -> None:
    with listen("x", "127.0.0.1", 0) as sock:
        assert sock.getblocking() is False
        with pytest.raises(BlockingIOError):
            sock.accept()


def test_a_refused_listener_leaves_no_socket_behind() -> None:
    with listen("x", "127.0.0.1", 0) as sock:
        before = _descriptor()
        with pytest.raises(ListenError):
            listen("y", *address(sock))

        assert _descriptor() == before


def _descriptor() -> int:
    """The number that the next descriptor gets."""
    with socket.socket() as probe:
        return probe.fileno()


def test_a_unix_socket_listens_with_its_permissions_and_is_removed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "http.sock"
    sock, file = listen_unix("router x", str(path), mode=0o620)
    with sock:
        assert address(sock) == (str(path), 0)
        assert str(Listening("router x", *address(sock))) == f"router x on unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o620
        assert take_inherited([sock], str(path), 0) is sock

        file.remove()
    assert not path.exists()


def test_what_a_dead_process_has_left_is_replaced(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "http.sock")
    listen_unix("router x", path, mode=0o660)[0].close()

    with listen_unix("router x", path, mode=0o660)[0], socket.socket(socket.AF_UNIX) as caller:
        caller.connect(path)


def test_a_file_that_another_process_has_put_there_is_left_alone(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "http.sock"
    old, file = listen_unix("router x", str(path), mode=0o660)
    path.unlink()
    new, _ = listen_unix("router x", str(path), mode=0o660)
    with old, new:
        file.remove()

        assert path.exists()


@pytest.mark.parametrize(
    ("there", "advice"),
    [
        pytest.param("alive", "a process listens there already; ", id="alive"),
        pytest.param("file", "what is there is no socket; ", id="no socket"),
        pytest.param("nothing", "there is no such directory; ", id="no directory"),
    ],
)
def test_a_path_that_cannot_be_had_is_refused_with_advice(there: str, advice: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "http.sock"
    alive = socket.socket(socket.AF_UNIX)
    with alive:
        if there == "alive":
            alive.bind(str(path))
            alive.listen()
        elif there == "file":
            path.write_text("precious")
        else:
            path = tmp_path / "nowhere" / "http.sock"

        with pytest.raises(ListenError, match=rf"^router x on unix:{path} cannot listen: {advice}"):
            listen_unix("router x", str(path), mode=0o660)

    assert there != "file" or path.read_text() == "precious"


def test_a_unix_socket_may_be_our_own() -> None:
    ports = OwnPorts()
    ports.add([("/run/a.sock", 0), ("0.0.0.0", 0)])

    assert Endpoint("/run/a.sock", 0) in ports
    assert Endpoint("/run/b.sock", 0) not in ports
