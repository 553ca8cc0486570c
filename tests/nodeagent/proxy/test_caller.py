"""Who is at the other end, as the kernel of this machine says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.proxy.caller import Caller, Callers, is_here

ME = Caller(os.getuid(), "")


@pytest.fixture
def callers() -> Iterator[Callers]:
    made = Callers()
    yield made
    made.close()


def accepted(listener: socket.socket, callers: Callers) -> Caller:
    listener.settimeout(5)
    sock, address = listener.accept()
    with sock:
        return callers.of(sock, address)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_program_on_loopback_is_its_user(callers: Callers, family: socket.AddressFamily, host: str) -> None:
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"needs the address {host}: sysctl net.ipv6.conf.lo.disable_ipv6=0")
    with listener, socket.create_connection(listener.getsockname()[:2]):
        assert accepted(listener, callers) == ME


def test_a_program_on_a_unix_socket_is_its_user(callers: Callers, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "agent"))
        listener.listen()
        client.connect(str(tmp_path / "agent"))
        assert accepted(listener, callers) == ME


CONNECT = """
import os, socket, sys
os.setuid(12345)
sock = socket.socket()
sock.connect(("127.0.0.1", int(sys.argv[1])))
sock.recv(1)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be another user")
def test_users_are_told_apart(callers: Callers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        with (
            subprocess.Popen([sys.executable, "-c", CONNECT, port]),
            socket.create_connection(("127.0.0.1", int(port))),
        ):
            found = {accepted(listener, callers), accepted(listener, callers)}

    assert found == {ME, Caller(12345, "")}


def test_whoever_has_closed_is_not_taken_for_root(callers: Callers) -> None:
    """Of a socket that no process has any more the kernel says user 0."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        socket.create_connection(listener.getsockname()).close()
        assert accepted(listener, callers) == Caller(None, "127.0.0.1", here=True)


def test_where_the_kernel_cannot_be_asked_an_address_is_what_is_known(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK")
    monkeypatch.setattr(socket, "AF_NETLINK", 255, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        assert accepted(listener, callers) == Caller(None, "127.0.0.1", here=True)


@pytest.mark.parametrize(
    ("host", "own", "here"),
    [
        pytest.param("127.0.0.2", "127.0.0.1", True, id="loopback"),
        pytest.param("10.0.0.5", "10.0.0.5", True, id="by the address of the host"),
        pytest.param("::1", "::1", True, id="IPv6"),
        pytest.param("::ffff:127.0.0.1", "::ffff:127.0.0.1", True, id="IPv4 on a socket of IPv6"),
        pytest.param("10.0.0.6", "10.0.0.5", False, id="another host"),
    ],
)
def test_who_is_of_this_host(host: str, own: str, here: bool) -> None:
    assert is_here(host, own) is here


def test_how_a_caller_is_written() -> None:
    assert (str(Caller(1000, "")), str(Caller(None, "10.0.0.6"))) == ("uid 1000", "10.0.0.6")
