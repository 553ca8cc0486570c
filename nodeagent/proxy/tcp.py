"""One connection to a listener that stands for a name: joined to an endpoint of that name, whatever is said. An edge.

The endpoint is dialled at once, because in some protocols the server speaks first. A caller that cannot be served sees
a reset, never a clean end that it might take for an empty answer; the log says why.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

import structlog
import trio

from nodeagent.proxy.caller import Caller
from nodeagent.proxy.errors import ProxyError
from nodeagent.proxy.messages import Request, RequestHead
from nodeagent.proxy.tunnel import Tunnel, relay
from nodeagent.proxy.wire import CLOSED, RESET, Wire

if TYPE_CHECKING:
    from nodeagent.proxy.fairness import Account
    from nodeagent.proxy.server import Server

log = structlog.get_logger("nodeagent.tcp")

_HEAD = RequestHead(b"CONNECT", b"", b"", 11, b"", {})
"""What a connection asks for, as far as the route needs to know: a tunnel."""


class TcpConversation:
    """Serves one downstream connection of a `tcp` router. It is one request in all that is counted."""

    __slots__ = (
        "_caller",
        "_owed",
        "_scope",
        "account",
        "deadline",
        "opened_at",
        "peer",
        "server",
        "tunnelling",
        "wire",
    )

    def __init__(self, wire: Wire, peer: str, server: Server, account: Account, caller: Caller) -> None:
        self.wire = wire
        self.peer = peer
        self.server = server
        self.account = account
        self._caller = caller
        self.deadline = inf
        """Never: finding an endpoint has limits of its own, and so has the tunnel."""
        self.opened_at = server.now()
        self.tunnelling = False
        self._owed = True  # what became of it was not counted yet
        self._scope = trio.CancelScope()
        wire.on_end = self.hung_up

    @staticmethod
    def turn_away(sock: socket.socket, server: Server, why: ProxyError) -> None:
        """Make the close of a connection for which there is no place a reset."""
        server.router.broke_off(why)
        server.abandoned()
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def idle_since(self) -> float:
        """Never: only the protocol that is spoken knows whether something is under way."""
        return inf

    async def run(self) -> None:
        """Serve until both sides have ended, or one broke. Never raises; cancelling closes both."""
        try:
            with self._scope:
                await self._serve()
        except CLOSED:
            pass
        except Exception:
            log.exception("a bug: the connection is closed", peer=self.peer)
        finally:
            self.wire.close()
            if self._owed:
                self.server.abandoned()

    def hung_up(self, broken: bool) -> None:
        """The caller's whole connection broke, so nobody waits for an endpoint. An end of its sending says nothing.

        On a Unix socket a close cannot be told from a break, and what was sent before it is to be delivered.
        """
        if broken and not self.tunnelling and self.wire.sock.family != socket.AF_UNIX:
            self._scope.cancel()

    def expire(self) -> None:
        """There is no deadline that could pass."""

    def finish(self) -> None:
        """Go on: only the protocol that is spoken knows where it may end. The grace of a drain ends it."""

    def save_memory(self) -> None:
        """Nothing is kept for a repeat."""

    async def _serve(self) -> None:
        server = self.server
        request = Request(_HEAD, b"", server.now(), self.peer, self.wire.client)
        request.caller = self._caller
        refusal = server.admit(self.account)
        if refusal is not None:
            self._reset(refusal, request)
            return
        try:
            opened = await server.router.tunnel(request, server.limits.call_depth)
        except ProxyError as error:
            self._reset(error, request)
        else:
            await self._relay(request, *opened)
        finally:
            server.leave(self.account)
            if self._owed and request.failure is None:
                server.records.settle(request, 0, received=0, sent=0, whole=False)

    async def _relay(self, request: Request, backend: Wire, over: Callable[[bool], None]) -> None:
        server = self.server
        self._owed = False
        server.answered(200)
        self.tunnelling = True
        tunnel = Tunnel(self.wire, backend, server.limits.tunnel_idle)
        try:
            await relay(tunnel, over, counted=server.router.tunnels)
        finally:
            server.records.settle_tunnel(request, tunnel)

    def _reset(self, error: ProxyError, request: Request) -> None:
        log.warning("a connection is reset", router=self.server.router.label, peer=self.peer, error=error.message)
        self.server.router.broke_off(error)
        request.failure = error
        self.server.records.settle(request, 0, received=0, sent=0, whole=False)
        self.wire.abort()
