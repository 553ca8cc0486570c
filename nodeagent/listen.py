"""Listening sockets: bound by the agent, or inherited from the service manager. An edge."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from namer.addr import Endpoint
from namer.address import read_address

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 (compared with, not bound)


class ListenError(Exception):
    """A listener cannot be had; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Listening:
    """A listener as people are told of it; `port` is the real one where any was asked for."""

    what: str
    """`router LABEL` or `admin`."""
    host: str
    port: int

    @property
    def address(self) -> str:
        """Host and port as people write them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.what} on {self.address}"


def listen(
    what: str, ip: str, port: int, *, reuse_addr: bool = True, reuse_port: bool = False, backlog: int | None = None
) -> socket.socket:
    """Bind and listen. Raises ListenError."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if reuse_addr:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
        sock.bind((ip, port))
        sock.listen(backlog if backlog is not None else socket.SOMAXCONN)
    except OSError as error:
        sock.close()
        raise ListenError(f"{Listening(what, ip, port)} cannot listen: {_advice(error)}") from None
    return sock


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "the port is taken; stop who has it (ss -ltnp shows that), or choose another port"
        case errno.EACCES | errno.EPERM:
            return "not permitted; choose a port above 1023, or grant CAP_NET_BIND_SERVICE"
        case errno.EADDRNOTAVAIL:
            return "this host has no such address; choose one that `ip address` shows"
    return (error.strerror or str(error)).lower()


def address(sock: socket.socket) -> tuple[str, int]:
    """Return host and port that a listening socket is bound to."""
    name = sock.getsockname()
    return str(name[0]), int(name[1])


def take_inherited(inherited: list[socket.socket], ip: str, port: int) -> socket.socket | None:
    """Take the inherited socket that is bound to `ip` and `port` out of the list."""
    for sock in inherited:
        if sock.family in (socket.AF_INET, socket.AF_INET6) and address(sock) == (ip, port):
            inherited.remove(sock)
            return sock
    return None


class OwnPorts:
    """Tells whether an endpoint is one of a router's own listeners, so that nothing is sent in a circle."""

    def __init__(self) -> None:
        self._exact: set[tuple[str, int]] = set()
        self._everywhere: set[int] = set()

    def add(self, listeners: Iterable[tuple[str, int]]) -> None:
        """Learn of listeners by their host and port."""
        for host, port in listeners:
            if host in _WILDCARDS:
                self._everywhere.add(port)
            else:
                self._exact.add((host, port))

    def __contains__(self, endpoint: Endpoint) -> bool:
        host = endpoint.host
        if host.startswith("::ffff:"):  # IPv4-mapped: the kernel connects to the IPv4 address
            host = str(read_address(host))
        if (host, endpoint.port) in self._exact:
            return True
        if endpoint.port in self._everywhere and is_local(host):
            return True
        unspecified = host in _WILDCARDS  # connecting to 0.0.0.0 reaches loopback
        return unspecified and any(port == endpoint.port for _, port in self._exact)


def is_local(host: str) -> bool:
    """Tell whether an IP address belongs to this host, by asking the kernel to bind it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return True
    return False
