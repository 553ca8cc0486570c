"""Names that say where they are: `/$/inet/HOST/PORT`, `/$/inet/PORT`, `/$/io.buoyant.rinet/PORT/HOST`, `/$/unix/PATH`.

A name of that form is always bound, as by finagle's `Namer.global` and linkerd 1.x's `rinet`: what becomes of the host
is told by the address, which is Neg when the host is unknown and Failed when nobody could say. A port alone is a port
of this host. `/$/fixedinet` is `/$/inet` with a host that is resolved once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from namer.addr import Addr, AddrBound, AddrFailed, Endpoint, check_socket_path
from namer.cell import Cell
from namer.namer import Bound, NameState
from namer.nametree import NEG, Leaf
from namer.path import Path

LOCAL_HOST = "127.0.0.1"

AddrOf: TypeAlias = Callable[[str, int], Cell[Addr]]


class InetNamer:
    """Host, then port."""

    def __init__(self, prefix: Path, addr_of: AddrOf) -> None:
        self._prefix = prefix
        self._addr_of = addr_of

    def lookup(self, path: Path) -> Cell[NameState]:
        """Bound for `/HOST/PORT` and `/PORT`, where PORT is a number; Neg for anything else."""
        match path.labels:
            case (host, port, *_) if _is_number(port):
                return _bound(self._prefix, path, 2, _addr(self._addr_of, host, port), host_at=0)
            case (port, *_) if _is_number(port):
                return _bound(self._prefix, path, 1, _addr(self._addr_of, LOCAL_HOST, port), host_at=0)
            case _:
                return Cell.constant(NEG)


class RinetNamer:
    """Port, then host."""

    def __init__(self, prefix: Path, addr_of: AddrOf) -> None:
        self._prefix = prefix
        self._addr_of = addr_of

    def lookup(self, path: Path) -> Cell[NameState]:
        """Bound for `/PORT/HOST`, Neg for a shorter name."""
        if len(path) < 2:
            return Cell.constant(NEG)
        return _bound(self._prefix, path, 2, _addr(self._addr_of, path[1], path[0]), host_at=1)


def spelled_out(id: Path) -> tuple[str, int] | None:  # noqa: A002
    """The host, without brackets, and the port that a concrete name of these namers spells out, None for any other."""
    match id.labels:
        case ("$", "io.buoyant.rinet", port, host) | ("$", "inet" | "fixedinet", host, port):
            number = _port(port)
        case ("$", "inet" | "fixedinet", port):
            host, number = LOCAL_HOST, _port(port)
        case _:
            return None
    return None if number is None else (host.strip("[]"), number)


class UnixNamer:
    """The path of a socket, label by label."""

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix

    def lookup(self, path: Path) -> Cell[NameState]:
        """Bound for any path that a Unix socket can have, all of it; Neg for anything else."""
        if not path or not all(map(_is_file_name, path)):
            return Cell.constant(NEG)
        try:
            place = check_socket_path("/" + "/".join(path))
        except ValueError:
            return Cell.constant(NEG)
        addr: Addr = AddrBound((Endpoint(place, 0),))
        # What a request adds stands at the end, so if a label is its word, the last one is.
        return _bound(self._prefix, path, len(path), Cell.constant(addr), host_at=len(path) - 1)


def _is_file_name(label: str) -> bool:
    return label not in (".", "..") and "/" not in label


def _is_number(label: str) -> bool:
    return label.isascii() and label.isdigit()


def _port(label: str) -> int | None:
    return int(label) if _is_number(label) and len(label) <= 5 and 1 <= int(label) <= 65535 else None


def _addr(addr_of: AddrOf, host: str, port: str) -> Cell[Addr]:
    number = _port(port)
    if number is not None:
        return addr_of(host, number)
    return Cell.constant(AddrFailed(f"port {port!r} is not a number from 1 to 65535"))


def _bound(prefix: Path, path: Path, used: int, addr: Cell[Addr], *, host_at: int) -> Cell[NameState]:
    return Cell.constant(Leaf(Bound(prefix + path[:used], path[used:], addr, host_at=len(prefix) + host_at)))
