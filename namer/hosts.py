"""Host names to addresses, by what the system knows (files, DNS, ...), asked again every few seconds.

An IP literal is answered at once, without a task; what cannot be a host name is unknown without asking
anybody. A host that has addresses of both families is given by its IPv4 ones alone, since a server that
listens on one family only would otherwise look half dead (`localhost` is the usual case). A failure to
resolve keeps the last good addresses; that a host does not exist is an answer, not a failure.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, TypeAlias

import structlog
import trio

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.cell import Cell
from namer.watch import Watches, WatchKey

SOURCE: Final = "dns"
INTERVAL: Final = 5.0  # seconds between two resolutions, as in finagle's InetResolver

Resolve: TypeAlias = Callable[[str], Awaitable[tuple[str, ...]]]

_HOST_NAME = re.compile(r"[0-9A-Za-z_-]{1,63}(?:\.[0-9A-Za-z_-]{1,63})*\.?")
_UNKNOWN: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})

log = structlog.get_logger(__name__)


class UnknownHostError(Exception):
    """The resolver is sure that there is no such host, or that it has no address."""


async def system_resolve(host: str) -> tuple[str, ...]:
    """The addresses that `getaddrinfo` gives. Raises UnknownHostError, or OSError when it cannot find out.

    Cancelling is safe; the system call is left to end by itself.
    """
    try:
        found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as problem:
        if problem.errno in _UNKNOWN:
            raise UnknownHostError(host) from None
        raise
    return tuple(str(address[0]) for *_, address in found)


class Hosts:
    """Live addresses of hosts, shared by every namer that meets host names."""

    def __init__(self, watches: Watches, resolve: Resolve = system_resolve, *, interval: float = INTERVAL) -> None:
        self._watches = watches
        self._resolve = resolve
        self._interval = interval

    def addr(self, host: str, port: int) -> Cell[Addr]:
        """`port` on every address of `host`, followed for as long as somebody subscribes."""
        return _known_at_once(host, port) or self._cell("address", host, port, self._follow)

    def fixed_addr(self, host: str, port: int) -> Cell[Addr]:
        """The same as first found, and not asked again."""
        return _known_at_once(host, port) or self._cell("fixed address", host, port, self._find_once)

    def _cell(
        self, what: str, host: str, port: int, feed: Callable[[str, int, Cell[Addr]], Awaitable[None]]
    ) -> Cell[Addr]:
        host = host.lower()
        pending: Addr = AddrPending()
        return self._watches.cell(WatchKey(SOURCE, what, f"{host}:{port}"), pending, partial(feed, host, port))

    async def _follow(self, host: str, port: int, cell: Cell[Addr]) -> None:
        while True:
            await self._ask(host, port, cell)
            await trio.sleep(self._interval)

    async def _find_once(self, host: str, port: int, cell: Cell[Addr]) -> None:
        await self._ask(host, port, cell)
        while not isinstance(cell.value, AddrBound):
            await trio.sleep(self._interval)
            await self._ask(host, port, cell)

    async def _ask(self, host: str, port: int, cell: Cell[Addr]) -> None:
        try:
            addresses = await self._resolve(host)
        except UnknownHostError:
            cell.set(AddrNeg(), trio.current_time())
        except OSError as problem:
            if cell.error is None:
                log.warning("host not resolved", host=host, error=str(problem))
            fail_addr(cell, f"cannot resolve {host}: {problem.strerror or problem}", trio.current_time())
        else:
            endpoints = tuple(Endpoint(address, port) for address in usable(addresses))
            cell.set(AddrBound(endpoints) if endpoints else AddrNeg(), trio.current_time())


def fail_addr(cell: Cell[Addr], reason: str, now: float, retry_at: float | None = None) -> None:
    """Record a failure: known endpoints stay, anything less becomes AddrFailed."""
    if not isinstance(cell.value, AddrBound):
        cell.set(AddrFailed(reason), now)
    cell.fail(reason, now, retry_at)


def usable(addresses: Iterable[str]) -> tuple[str, ...]:
    """The addresses to use of those found: of one family, each once, in an order that stays."""
    unique = sorted(set(addresses))
    return tuple(each for each in unique if ":" not in each) or tuple(unique)


def ip_literal(host: str) -> str | None:
    """The address that `host` writes down, in its usual form and without brackets; None when it is a name."""
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        return None
    return None if bracketed and address.version == 4 else str(address)


def is_host(host: str) -> bool:
    """Whether `host` is an IP literal, or is made like a host name."""
    return ip_literal(host) is not None or (len(host) <= 253 and bool(_HOST_NAME.fullmatch(host)))


def _known_at_once(host: str, port: int) -> Cell[Addr] | None:
    literal = ip_literal(host)
    if literal is not None:
        return Cell.constant(AddrBound((Endpoint(literal, port),)))
    return None if is_host(host) else Cell.constant(AddrNeg())
