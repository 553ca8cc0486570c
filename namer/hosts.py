"""Host names to addresses, by /etc/hosts and the DNS, asked again when the answer is over.

An IP literal (in any form, see `address.py`) and `localhost` are answered at once, without a task; what cannot be a
host name is unknown without asking anybody. A host is followed by one task, however many ports of it are in use. A host
that has addresses of both families is given by its IPv4 ones alone, since a server that listens on one family only
would otherwise look half dead. A failure to resolve keeps the last good addresses, as long as the limit on stale
answers allows (RFC 8767); that a host does not exist is an answer, not a failure. `namer.dns.course` says what is
believed and when it is asked again.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

import structlog
import trio

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint, is_socket_path
from namer.address import read_address
from namer.cell import Cell
from namer.derived import Derived
from namer.dns.answers import Found, Lifetimes
from namer.dns.course import Believe, Course, Step
from namer.dns.hostsfile import LOOPBACK, is_localhost
from namer.dns.resolver import Resolver, Resolves
from namer.dns.settings import Overrides, is_name
from namer.watch import Watches, WatchKey

SOURCE: Final = "dns"

_ANY_PORT: Final = 0

log = structlog.get_logger(__name__)


class Hosts:
    """Live addresses of hosts, shared by every namer that meets host names."""

    def __init__(
        self,
        watches: Watches,
        resolver: Resolves | None = None,
        rng: random.Random | None = None,
        *,
        source: str = SOURCE,
    ) -> None:
        """Without a resolver of its own it asks whom the files of this host name.

        `source` is what its cells are kept under: one for each resolver.
        """
        self._watches = watches
        self._resolver = resolver or Resolver(Overrides(), Lifetimes())
        self._rng = rng or random.Random()
        self._source = source
        self._ports: WeakValueDictionary[tuple[str, str, int], Cell[Addr]] = WeakValueDictionary()

    def addr(self, host: str, port: int) -> Cell[Addr]:
        """`port` on every address of `host`, followed for as long as somebody subscribes.

        The path of a Unix socket, with port 0, is an address like an IP literal.
        """
        return _known_at_once(host, port) or self._cell("address", host, port, once=False)

    def fixed_addr(self, host: str, port: int) -> Cell[Addr]:
        """The same as first found, and not asked again."""
        return _known_at_once(host, port) or self._cell("fixed address", host, port, once=True)

    def _cell(self, what: str, host: str, port: int, *, once: bool) -> Cell[Addr]:
        host = host.lower()
        cell = self._ports.get((what, host, port))
        if cell is None:
            pending: Addr = AddrPending()
            key = WatchKey(self._source, what, host)
            source = self._watches.cell(key, pending, partial(self._follow, host, once))
            cell = self._ports[what, host, port] = Derived(partial(_at_port, port), source)
        return cell

    async def _follow(self, host: str, once: bool, cell: Cell[Addr]) -> None:
        course: Course[str] = Course(self._rng)
        while not (once and isinstance(cell.value, AddrBound)):
            known = isinstance(cell.value, AddrBound)
            answer = await self._resolver.addresses(host, course.newer_than, known=known)
            step = course.step(answer, trio.current_time(), has_records=known)
            _publish(host, step, cell)
            await trio.sleep_until(step.next_at)


def _publish(host: str, step: Step[str], cell: Cell[Addr]) -> None:
    match step:
        case Believe(Found(records, at, _, flaw)):
            cell.set(AddrBound(tuple(Endpoint(address, _ANY_PORT) for address in usable(records))), at, flaw)
        case Believe(nothing):
            cell.set(AddrNeg(), nothing.at)
        case doubt:
            if cell.error is None and isinstance(cell.value, AddrBound):  # anybody can make up others
                log.warning("host not resolved", host=host, error=doubt.reason)
            fail_addr(cell, f"cannot resolve {host}: {doubt.reason}", trio.current_time(), doubt.next_at)


def _at_port(port: int, addr: Addr) -> Addr:
    match addr:
        case AddrBound(endpoints):
            return AddrBound(tuple(Endpoint(endpoint.host, port) for endpoint in endpoints))
        case _:
            return addr


def fail_addr(cell: Cell[Addr], reason: str, now: float, retry_at: float | None = None) -> None:
    """Record a failure: what is known stays, be it that there is nothing; nothing known becomes AddrFailed."""
    if isinstance(cell.value, AddrPending | AddrFailed) and cell.stale_since is None:
        cell.replace(AddrFailed(reason))
    cell.fail(reason, now, retry_at)


def usable(addresses: Iterable[str]) -> tuple[str, ...]:
    """The addresses to use of those found: of one family, each once, in an order that stays."""
    unique = sorted(set(addresses))
    return tuple(each for each in unique if ":" not in each) or tuple(unique)


def ip_literal(host: str) -> str | None:
    """The address that `host` writes down, in its usual form and without brackets; None when it is a name."""
    if not (host.startswith("[") and host.endswith("]")):
        address = read_address(host)
    else:  # what else stands in brackets is no name either
        address = read_address(host[1:-1]) if ":" in host else None
    return None if address is None else str(address)


def is_host(host: str) -> bool:
    """Whether `host` is an IP literal, or is made like a host name."""
    return ip_literal(host) is not None or is_name(host)


def _known_at_once(host: str, port: int) -> Cell[Addr] | None:
    literal = ip_literal(host)
    if literal is None and port == 0 and is_socket_path(host):
        literal = host
    if literal is not None:
        return Cell.constant(AddrBound((Endpoint(literal, port),)))
    if is_localhost(host):
        return Cell.constant(AddrBound(tuple(Endpoint(address, port) for address in usable(LOOPBACK))))
    return None if is_host(host) else Cell.constant(AddrNeg())
