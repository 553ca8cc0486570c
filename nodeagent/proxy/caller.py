"""Who is at the other end of a connection, so far as the kernel can say. An edge.

A program of this host is known by its user: of a Unix socket by SO_PEERCRED (unix(7)), of TCP by asking the kernel for
the socket at the other end (NETLINK_SOCK_DIAG, sock_diag(7)), which needs no privilege and takes some microseconds,
once a connection. Everybody else, and whom the kernel does not know, is known by address. Programs of one user are one
caller. In a network namespace only its own sockets are found; who comes from another one has another address.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Final, NamedTuple, TypeAlias

_Address: TypeAlias = tuple[Any, ...]
"""As `accept` and `getsockname` give it."""

_SOCK_DIAG: Final = 4  # NETLINK_SOCK_DIAG, linux/netlink.h
_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY, linux/sock_diag.h
_REQUEST: Final = 1  # NLM_F_REQUEST
_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr
_ASKED: Final = struct.Struct("=BBxxI")  # inet_diag_req_v2: family, protocol, states; then the socket
_PORTS: Final = struct.Struct("!HH")
_ANY: Final = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)  # on any interface, whatever its cookie
_FOUND: Final = struct.Struct("=64xII")  # inet_diag_msg: the socket and its queues, uid, inode
_ATTRIBUTE: Final = struct.Struct("=HH")  # nlattr: its length with this, its type; the next one at a multiple of 4
_CGROUP: Final = 21  # INET_DIAG_CGROUP_ID, linux/inet_diag.h
_NUMBER: Final = struct.Struct("=Q")
_SIZE: Final = _HEADER.size + _ASKED.size + 48
_CREDENTIALS: Final = struct.Struct("=iII")  # ucred: pid, uid, gid


class Caller(NamedTuple):
    """A user of this host, or else an address."""

    uid: int | None
    """Of the process that opened the socket; None when it is not known to be of this host."""
    host: str
    """Its IP address, or "unix"; "" where the user is known."""
    here: bool = False
    """Whether it is of this host all the same: the kernel no longer knows its socket, or cannot tell."""
    cgroup: str | None = None
    """The path of the cgroup that it called from; None when it is not known, or nobody has asked for it."""

    @property
    def is_local(self) -> bool:
        """Whether it is a program of this host."""
        return self.here or self.uid is not None

    def __str__(self) -> str:
        who = self.host if self.uid is None else f"uid {self.uid}"
        return who if self.cgroup is None else f"{who} in {self.cgroup}"


class Callers:
    """Tells who calls."""

    def __init__(self) -> None:
        self._kernel: socket.socket | None = None
        self._asked = 0

    def of(self, sock: socket.socket, address: object) -> Caller:
        """Return who has opened an accepted connection that comes from `address`. Never raises, never waits."""
        here = False
        try:
            if not isinstance(address, tuple):
                return Caller(_credentials(sock)[1], "")
            own = sock.getsockname()
            here = is_here(address[0], own[0])
            uid = _uid_in(self._found(sock.family, address, own)) if here else None
        except OSError:  # the connection broke already, or this system cannot tell
            uid = None
        if uid is not None:
            return Caller(uid, "")
        return Caller(None, str(address[0]), here) if isinstance(address, tuple) else Caller(None, "unix", True)

    def cgroup(self, sock: socket.socket, address: _Address) -> int | None:
        """Return the number of the cgroup in which the socket at the other end of TCP was made. Never raises or waits.

        None when the kernel does not tell: it is too old, the socket is closed already.
        """
        try:
            return cgroup_in(self._found(sock.family, address, sock.getsockname()))
        except OSError:
            return None

    def process(self, sock: socket.socket) -> int:
        """Return the number of the process that has connected to a Unix socket. Raises OSError."""
        return _credentials(sock)[0]

    def close(self) -> None:
        """Let go of the socket by which the kernel is asked; another one is made when it is asked again."""
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def _found(self, family: int, peer: _Address, own: _Address) -> bytes:
        """Ask for the socket from `peer` to `own`; return the answer. Raises OSError."""
        if self._kernel is None:
            self._kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG)
            self._kernel.setblocking(False)
        self._asked = (self._asked + 1) & 0xFFFFFFFF
        self._kernel.send(
            _HEADER.pack(_SIZE, _BY_FAMILY, _REQUEST, self._asked, 0)
            + _ASKED.pack(family, socket.IPPROTO_TCP, 0xFFFFFFFF)
            + _PORTS.pack(peer[1], own[1])
            + _packed(family, peer[0])
            + _packed(family, own[0])
            + _ANY
        )
        while True:  # the answer is there when the question is sent; one that was not fetched may stand before it
            answer = self._kernel.recv(4096)
            if _HEADER.unpack_from(answer)[3] == self._asked:
                return answer


def cgroup_in(answer: bytes) -> int | None:
    """Return the number of a cgroup in what the kernel says of a socket; None where there is none. Pure."""
    if _uid_in(answer) is None:
        return None
    at, end = _HEADER.size + _FOUND.size, min(_HEADER.unpack_from(answer)[0], len(answer))
    while at + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        if length < _ATTRIBUTE.size or at + length > end:
            return None
        if kind == _CGROUP and length == _ATTRIBUTE.size + _NUMBER.size:
            return int(_NUMBER.unpack_from(answer, at + _ATTRIBUTE.size)[0])
        at += (length + 3) & ~3
    return None


def is_cgroup(path: str) -> bool:
    """Tell whether that is the whole path of a cgroup, in characters that rules can name."""
    if not path.startswith("/") or not path.isascii() or not path.isprintable():
        return False
    return path == "/" or not any(name in ("", ".", "..") for name in path[1:].split("/"))


def _uid_in(answer: bytes) -> int | None:
    if _HEADER.unpack_from(answer)[1] != _BY_FAMILY or len(answer) < _HEADER.size + _FOUND.size:
        return None
    uid, inode = _FOUND.unpack_from(answer, _HEADER.size)
    return int(uid) if inode else None  # of a socket that was closed already the kernel says user 0


def _credentials(sock: socket.socket) -> tuple[int, int, int]:
    """Process, user and group of who has connected to a Unix socket."""
    pid, uid, gid = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid, gid


def is_here(host: str, own: str) -> bool:
    """Tell whether who connects from `host` to the address `own` of this host is a program of it."""
    return host == own or host.startswith(("127.", "::ffff:127."))


def host_of(peer: str) -> str:
    """Return the address in "ip:port"; of a Unix socket all there is."""
    return peer if peer.startswith("unix") else peer.rpartition(":")[0].strip("[]")


def _packed(family: int, host: str) -> bytes:
    return socket.inet_pton(family, host.partition("%")[0]).ljust(16, b"\0")
