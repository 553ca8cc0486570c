"""Listens, accepts, limits and drains. An edge.

drain: listeners close, idle connections end, answers and tunnels under way get until the deadline, the rest is cut.
"""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
import trio
from trio.lowlevel import checkpoint, wait_readable

from namer.addr import show_address
from nodeagent.proxy.caller import Caller, Callers, host_of
from nodeagent.proxy.conversation import Conversation
from nodeagent.proxy.conversing import Converse, Conversing
from nodeagent.proxy.dispatch import Router
from nodeagent.proxy.edge import Edge
from nodeagent.proxy.errors import Overloaded, ProxyError
from nodeagent.proxy.fairness import Account, Accounts, has_place
from nodeagent.proxy.handshakes import HandshakeFailed, Handshakes
from nodeagent.proxy.proxyheader import ProxyHeaderError
from nodeagent.proxy.readiness import readiness
from nodeagent.proxy.readproxyheader import read_proxy_header
from nodeagent.proxy.records import Records
from nodeagent.proxy.tcp import TcpConversation
from nodeagent.proxy.wire import Wire
from nodeagent.telemetry.stats import ServerStats

if TYPE_CHECKING:
    from nodeagent.proxy.cgroups import Cgroups
    from nodeagent.proxy.entrance import Entrance

log = structlog.get_logger("nodeagent.server")

SWEEP = 0.25
"""Seconds between two looks at the deadlines of all connections: idle limits are that exact."""

ACCEPTS = 64
"""Connections accepted before others get their turn."""

ENDS = 32
"""Connections that are ended before others get their turn: a crowd that came at once is too late at once."""

FRESH = 1.0
"""Seconds for which a connection lives while memory or connections are short: long enough for a request to arrive."""

GROWTH = 32
"""Requests that come in between two looks at the memory, at most: a burst can be quicker than any clock."""

PAUSE = 0.1
"""Seconds to wait when there is no room for another connection."""

OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one listener takes; bytes, seconds, counts."""

    line: int = 4096
    head: int = 8192
    idle: float = 600.0
    """Between two requests."""
    life: float = math.inf
    """Of a connection; the answer under way then is the last."""
    head_time: float = 10.0
    """From a head's first byte to its last; absolute, so that a byte a second does not help."""
    call_depth: int = 1000
    concurrent: float = math.inf
    connections: float = math.inf
    tunnel_idle: float = 3600.0
    stream_idle: float = 300.0
    """Without progress of a body, in either direction."""


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Socket options of accepted connections."""

    no_delay: bool = True
    keep_alive: bool = False
    proxy_header: bool = False
    """Whether each begins with a PROXY header, which says who calls."""

    def apply(self, sock: socket.socket) -> None:
        """Set them."""
        if self.no_delay and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        if self.keep_alive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)


class Server:
    """The connections of one listener of a router."""

    def __init__(
        self,
        listener: socket.socket,
        router: Router,
        limits: ServerLimits,
        stats: ServerStats,
        *,
        edge: Edge | None = None,
        options: ConnectionOptions | None = None,
        converse: Converse = Conversation,
        everyone: Accounts | None = None,
        who: Callable[[socket.socket, object], Caller] | None = None,
        tls: Handshakes | None = None,
        entrance: Entrance | None = None,
        cgroups: Cgroups | None = None,
    ) -> None:
        """`listener` is bound and listening. `edge` is what this listener adds to or hides from heads.

        `everyone` has the connections of all listeners, `who` tells who has opened one, and from which address. With
        `tls` all speak it. `entrance` knows who may connect, None for everybody; `cgroups` is for rules that ask so.
        """
        listener.setblocking(False)
        self.listener = listener
        self.router = router
        self.limits = limits
        self.stats = stats
        self.edge = edge
        self._options = options or ConnectionOptions()
        self._conversation = converse
        self.records = Records(router.exchanges, router.label, stats.address)
        """Told of each request that is over."""
        self._accounts = Accounts(limits.connections)
        self._bounds = (self._accounts,) if everyone is None else (self._accounts, everyone)
        stats.connections_limit = min(each.bound for each in self._bounds)
        self._who = who or Callers().of
        self._tls = tls
        self._entrance = entrance
        self._cgroups = cgroups
        self.draining = False
        self.conversations: set[Conversing] = set()
        self.on_growth: Callable[[], None] | None = None
        """Called when GROWTH more requests are under way than when `strain` was called last, which it may call."""
        self._bound = limits.concurrent  # requests under way from which `admit` looks closer
        self._strained: str | None = None
        self._accepts = True
        self._accepting = trio.CancelScope()
        self.now: Callable[[], float] = trio.lowlevel.current_clock().current_time

    async def run(self, grace: float, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `drain` is called and all is answered, or `grace` seconds after it. Cancelling cuts all."""
        async with trio.open_nursery() as background:
            background.start_soon(self._sweep)
            async with trio.open_nursery() as connections:
                task_status.started()
                try:
                    with self._accepting:
                        await self._accept(connections)
                    self._accept_waiting(connections)  # they were told that they are connected
                finally:
                    self.listener.close()
                connections.cancel_scope.deadline = trio.current_time() + grace
                for conversation in self.conversations:
                    conversation.finish()
            background.cancel_scope.cancel()

    def drain(self) -> None:
        """Take no new connections; answer what is under way and close. `run` returns when that is done."""
        self.draining = True
        self._accepting.cancel()

    def strain(self, why: str | None, *, accepts: bool = True) -> None:
        """Refuse requests because of `why`, and end connections that idle, until it is None.

        What is under way goes on, but for the copies of bodies that are kept for a repeat. Unless it `accepts`, nobody
        who connects is let in either. One request, and one connection, always is
        when there is no other.
        """
        if why is not None and self._strained is None:
            for conversation in self.conversations:
                conversation.save_memory()
        self._strained = why
        self._accepts = accepts
        self._bound = min(self.limits.concurrent, self.in_flight + GROWTH) if why is None else 1

    def admit(self, account: Account) -> ProxyError | None:
        """Count a caller's request in, or say why not. After None `leave` must follow."""
        stats = self.stats
        if stats.pending >= self._bound and (refusal := self._at_bound(account)) is not None:
            return refusal
        stats.pending += 1
        account.requests += 1
        return None

    def _at_bound(self, account: Account) -> ProxyError | None:
        if self.on_growth is not None:
            self.on_growth()
        if self._strained is not None and self.in_flight:
            return Overloaded(self._strained)
        if not has_place(self.limits.concurrent, self.in_flight, account.requests, len(self._accounts)):
            return Overloaded(f"{self.in_flight} requests are under way, as many as maxConcurrentRequests allows")
        return None

    def leave(self, account: Account) -> None:
        """Count a request out."""
        self.stats.pending -= 1
        account.requests -= 1

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self.stats.pending

    def answered(self, status: int) -> None:
        """Count a response by its status."""
        self.stats.statuses[status // 100] += 1
        if status < 500:
            self.stats.success += 1
        else:
            self.stats.failure += 1

    def abandoned(self) -> None:
        """Count a request that got no response: its caller went away, or it was cut."""
        self.stats.statuses[0] += 1
        self.stats.failure += 1

    async def _accept(self, connections: trio.Nursery) -> None:
        while True:
            await wait_readable(self.listener.fileno())
            waits = self.conversations and not self._accepts
            if waits or not self._accept_waiting(connections):
                await trio.sleep(PAUSE)

    def _accept_waiting(self, connections: trio.Nursery) -> bool:
        """Accept who waits, at most ACCEPTS; return False when the system has no room for more."""
        for _ in range(ACCEPTS):
            try:
                sock, address = self.listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in OUT_OF_DESCRIPTORS:
                    log.error("cannot accept a connection; pausing", error=error.strerror)
                    return False
                break
            caller = self._who(sock, address)
            if self._has_place(caller):
                connections.start_soon(self._converse, sock, address, self._open(caller))
            else:
                self._turn_away(sock, caller)
        return True

    def _has_place(self, caller: Caller) -> bool:
        return all(bound.has_place(caller) for bound in self._bounds)

    def _open(self, caller: Caller) -> Account:
        account, *_ = [bound.open(caller) for bound in self._bounds]
        return account

    def _close(self, account: Account) -> None:
        for bound in self._bounds:
            bound.close(account.caller)

    def _turn_away(self, sock: socket.socket, caller: Caller) -> None:
        self.stats.connections_refused += 1
        why = f"{self.stats.connections} connections are open, as many as there is room for; {caller} has its part"
        turn_away = self._conversation.turn_away if self._tls is None else TcpConversation.turn_away
        turn_away(sock, self, Overloaded(why))
        sock.close()

    async def _converse(self, sock: socket.socket, address: object, account: Account) -> None:
        try:
            self._options.apply(sock)
            wire = Wire(sock)
        except OSError as error:  # it is broken already, or there is no room to watch it
            log.warning("a connection could not be served", peer=_show(address), error=error.strerror)
            sock.close()
            self._close(account)
            return
        self.stats.connects += 1
        self.stats.connections += 1
        peer, caller = _show(address), account.caller
        try:
            if self._options.proxy_header:
                peer = await read_proxy_header(wire, peer, self.limits.head_time)
                if (caller := Caller(None, host_of(peer))) != account.caller:
                    self._close(account)
                    account = self._open(caller)
            elif self._cgroups is not None:
                caller = await self._cgroups.with_cgroup(caller, sock, address)
            if self._tls is not None:
                wire = await self._tls.secure(wire, account.caller)
            if self._entrance is not None:
                client = wire.client
                if not self._entrance.admits(caller, peer, None if client is None else client.identity):
                    wire.abort()
                    return
            await self._converse_with(wire, peer, account, caller)
        except HandshakeFailed as error:
            self.stats.tls_failures[error.kind] += 1
            log.info("a connection comes to no TLS and is closed", peer=peer, reason=error.kind, error=str(error))
        except ProxyHeaderError as error:
            self.stats.proxy_header_errors += 1
            log.info("a connection without a PROXY header is closed", peer=_show(address), error=str(error))
        finally:
            wire.close()
            self._close(account)
            self.stats.connections -= 1

    async def _converse_with(self, wire: Wire, peer: str, account: Account, caller: Caller) -> None:
        readiness().line_up(wire, account.caller)
        conversation = self._conversation(wire, peer, self, account, caller)
        if self.draining:
            conversation.finish()
        self.conversations.add(conversation)
        try:
            await conversation.run()
        finally:
            self.conversations.discard(conversation)

    async def _make_room(self, now: float) -> None:
        """Close connections on which nothing is under way where there are as many as may be."""
        for bound in self._bounds:
            if bound.connections >= bound.bound:
                idle = [each for each in self.conversations if each.idle_since() <= now - FRESH]
                idle.sort(key=lambda each: each.idle_since())
                for number, conversation in enumerate(bound.surplus(idle), 1):
                    self.stats.connections_evicted += 1
                    conversation.expire()
                    if number % ENDS == 0:
                        await checkpoint()

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP)
            now = trio.current_time()
            born = now - (self.limits.life if self._strained is None else FRESH)
            ended = 0
            for conversation in tuple(self.conversations):
                if conversation.deadline <= now:
                    conversation.expire()
                    ended += 1
                    if ended % ENDS == 0:
                        await checkpoint()
                elif conversation.opened_at <= born:
                    conversation.finish()
            await self._make_room(now)


def _show(address: object) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        return show_address(address[0], address[1])
    return "unix"
