"""Listening sockets: bound, refused with advice, inherited; and whose ports are our own."""

from __future__ import annotations

import socket

import pytest

from namer.addr import Endpoint
from nodeagent.listen import ListenError, Listening, OwnPorts, address, is_local, listen, take_inherited


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
