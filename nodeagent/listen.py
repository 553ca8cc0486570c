"""Listening sockets: bound by the agent, or inherited from the service manager. An edge."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from conf.admin import Admin
from namer.addr import Endpoint, is_socket_path, show_address
from namer.address import read_address

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 (compared with, not bound)


class ListenError(Exception):
    """A listener cannot be had; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Listening:
    """A listener as people are told of it; `port` is the real one where any was asked for.

    One on a Unix socket has its path as the host, and port 0.
    """

    what: str
    """`router LABEL` or `admin`."""
    host: str
    port: int

    @property
    def address(self) -> str:
        """Host and port, or the path of a Unix socket, as people write them."""
        return show_address(self.host, self.port)

    def __str__(self) -> str:
        return f"{self.what} on {self.address}"


def listen(
    what: str, ip: str, port: int, *, reuse_addr: bool = True, reuse_port: bool = False, backlog: int | None = None
) -> socket.socket:
    """Bind and listen on an IP address. Raises ListenError."""
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


class SocketFile:
    """The file of a Unix socket that this process has made, so that no other's is removed in its place."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._made = _identity(path)

    def remove(self) -> None:
        """Remove it, unless another process has put its own there. To be called while the socket is open still."""
        with suppress(OSError):
            if _identity(self._path) == self._made:
                os.unlink(self._path)  # noqa: PTH108  (a path of bytes to the kernel, and no more)


def listen_unix(what: str, path: str, *, mode: int, backlog: int | None = None) -> tuple[socket.socket, SocketFile]:
    """Bind and listen on a Unix socket with these permissions; what a dead process has left there is replaced.

    Raises ListenError when the path is taken by a socket that is alive, or by something else.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        _make_way(path)
        os.fchmod(sock.fileno(), mode)  # so that there is no moment in which more is permitted
        sock.bind(path)
        os.chmod(path, mode)  # noqa: PTH101  (what the umask took away)
        sock.listen(backlog if backlog is not None else socket.SOMAXCONN)
        return sock, SocketFile(path)
    except (OSError, ValueError) as error:
        sock.close()
        reason = str(error) if isinstance(error, ValueError) else _advice_on_path(error)
        raise ListenError(f"{Listening(what, path, 0)} cannot listen: {reason}") from None


def _make_way(path: str) -> None:
    """Remove the socket at `path` if nobody listens on it. Raises ValueError when something else is there."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ValueError("what is there is no socket; remove it, or choose another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        code = probe.connect_ex(path)
    if code == errno.ECONNREFUSED:
        os.unlink(path)  # noqa: PTH108
    elif code in (0, errno.EAGAIN):
        raise ValueError("a process listens there already; stop it (ss -lxp shows which), or choose another path")
    else:
        raise OSError(code, os.strerror(code))


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _advice_on_path(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return "there is no such directory; make it, or choose another path"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "not permitted; choose a directory in which the agent may write"
    return (error.strerror or str(error)).lower()


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
    """Return host and port that a listening socket is bound to; for a Unix socket its path and 0."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return os.fsdecode(name), 0
    return str(name[0]), int(name[1])


def take_inherited(inherited: list[socket.socket], host: str, port: int) -> socket.socket | None:
    """Take the inherited socket that is bound to `host` and `port`, as `address` tells them, out of the list."""
    for sock in inherited:
        if address(sock) == (host, port):
            inherited.remove(sock)
            return sock
    return None


def open_admin(config: Admin, inherited: list[socket.socket]) -> tuple[Listening, socket.socket, SocketFile | None]:
    """Open the administrative port, or take it out of the inherited sockets. Raises ListenError.

    The file is that of a Unix socket that was made here.
    """
    file = None
    if config.path is None:
        sock = take_inherited(inherited, config.ip, config.port) or listen("admin", config.ip, config.port)
    elif (found := take_inherited(inherited, config.path, 0)) is not None:
        sock = found
    else:
        sock, file = listen_unix("admin", config.path, mode=int(config.mode, 8))
    return Listening("admin", *address(sock)), sock, file


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
        if is_socket_path(host):
            return False
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
