"""Connects to an endpoint, or to the agent on its host. An edge: the only place that opens connections for traffic.

Between agents it is TLS, and plain only where that is configured and discovery knows of no agent there or, if that is
configured too, nobody listens on its port. A handshake that fails is never a reason: whoever stands in between could
make it fail.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from logging import DEBUG

import structlog
import trio

from namer.addr import Endpoint, show_address
from namer.agents import NO_AGENT, node_of
from nodeagent.http1.upstream import Http1Connection
from nodeagent.proxy.errors import (
    ConnectFailed,
    ConnectTimeout,
    LoopDetected,
    Overloaded,
    ProxyError,
    TlsCertificateFailed,
    TlsFailed,
)
from nodeagent.proxy.tlswire import TlsWire, start_tls
from nodeagent.proxy.wire import Wire
from nodeagent.telemetry.exchange import Transport
from tls.contexts import Contexts
from tls.files import TlsConfigError
from tls.params import Agents, ClientTls

log = structlog.get_logger("nodeagent.dial")
is_enabled = logging.getLogger("nodeagent.dial").isEnabledFor

OUR_OWN = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
"""What connecting fails with when this host has no descriptor, memory or port left: the endpoint is not to blame."""

FULL = 0.01
"""Seconds until a Unix socket that has a full queue is tried again."""


class Dialer:
    """Opens connections, never to the agent's own listeners."""

    def __init__(self, is_own: Callable[[Endpoint], bool], contexts: Contexts | None = None) -> None:
        """`is_own` tells whether an endpoint is one of this process's own ports."""
        self._is_own = is_own
        self._contexts = contexts or Contexts()

    async def wire(self, endpoint: Endpoint, within: float, tls: ClientTls | None = None, preface: bytes = b"") -> Wire:
        """Connect within `within` seconds, by TLS if told so. Cancelling closes the half-made connection.

        With `tls.agents` it is connected to the agent on the endpoint's host. `preface` is said before all else, TLS
        included. Where there is `tls`, the wire tells its `transport`.

        Raises LoopDetected, ConnectFailed, ConnectTimeout, TlsFailed, or Overloaded when this host has no room for it.
        """
        if not is_enabled(DEBUG):
            return await self._reach(endpoint, within, tls, preface)
        began = trio.current_time()
        try:
            wire = await self._reach(endpoint, within, tls, preface)
        except ProxyError as error:
            log.debug("an endpoint was not reached", endpoint=endpoint.show(), error=error.message)
            raise
        milliseconds = round((trio.current_time() - began) * 1000, 1)
        log.debug("a connection is made", endpoint=endpoint.show(), ms=milliseconds, tls=tls is not None)
        return wire

    async def _reach(self, endpoint: Endpoint, within: float, tls: ClientTls | None, preface: bytes) -> Wire:
        if tls is None or tls.agents is None:
            return await self._open(endpoint, within, tls, preface)
        if endpoint.agent is None:
            if tls.agents.strict:
                raise ConnectFailed(f"dial {endpoint.show()}: {NO_AGENT}, and client.tls.agents is strict")
            return await self._open_plain(endpoint, within, preface, NO_AGENT)
        host, port = endpoint.agent
        until = trio.current_time() + within
        try:
            return await self._open(replace(endpoint, host=host, port=port), within, tls, preface)
        except ConnectFailed as error:
            if not (error.nobody_listens and _may_be_plain(tls.agents, endpoint)):
                raise
        why = f"nobody listens where its agent should be, {show_address(host, port)}"
        return await self._open_plain(endpoint, until - trio.current_time(), preface, why)

    async def _open_plain(self, endpoint: Endpoint, within: float, preface: bytes, why: str) -> Wire:
        wire = await self._open(endpoint, within, None, preface)
        wire.transport = Transport("plain", endpoint.show(), why=why)
        return wire

    async def _open(self, endpoint: Endpoint, within: float, tls: ClientTls | None, preface: bytes) -> Wire:
        if self._is_own(endpoint):
            raise LoopDetected(f"dial {endpoint.show()}: that is the agent itself", unsent=True)
        sock = self._socket(endpoint)
        try:
            with trio.fail_after(within):
                await self._connect(sock, endpoint)
                if preface and sock.send(preface) != len(preface):  # an empty buffer has room for it
                    raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
                return Wire(sock) if tls is None else await self._secure(sock, endpoint, tls)
        except trio.TooSlowError:
            sock.close()
            raise ConnectTimeout(f"dial {endpoint.show()}: no answer within {within * 1000:g} ms") from None
        except OSError as error:
            sock.close()
            raise _failed(endpoint, error) from None
        except BaseException:
            sock.close()
            raise

    async def http1(
        self, endpoint: Endpoint, within: float, tls: ClientTls | None, preface: bytes = b""
    ) -> Http1Connection:
        """Connect and speak HTTP/1.1; as `wire`."""
        wire = await self.wire(endpoint, within, tls, preface)
        return Http1Connection(wire, f"dial {endpoint.show()}", trio.current_time())

    async def _secure(self, sock: socket.socket, endpoint: Endpoint, tls: ClientTls) -> Wire:
        where = f"dial {endpoint.show()}"
        try:
            side = self._contexts.side(tls.context)
        except TlsConfigError as error:
            raise TlsFailed(f"{where}: {error}") from None
        wire = await start_tls(sock, side.context, tls.server_name, where, side.revoked)
        identity = None if tls.identity is None else _verified(wire, tls.identity, node_of(endpoint), where)
        kind = "tls" if tls.agents is None else "mtls"
        wire.transport = Transport(kind, endpoint.show(), wire.version, identity)
        return wire

    def _socket(self, endpoint: Endpoint) -> socket.socket:
        family = socket.AF_UNIX if endpoint.is_unix else socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:  # no descriptor left, or no such family on this host
            raise _failed(endpoint, error) from None
        if not endpoint.is_unix:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        return sock

    async def _connect(self, sock: socket.socket, endpoint: Endpoint) -> None:
        if endpoint.is_unix:
            while (code := sock.connect_ex(endpoint.host)) == errno.EAGAIN:  # noqa: ASYNC110
                await trio.sleep(FULL)  # too many wait to be accepted, and nobody tells when there is room
        else:
            code = sock.connect_ex((endpoint.host, endpoint.port))
        if code == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))


def _may_be_plain(agents: Agents, endpoint: Endpoint) -> bool:
    """Whether a refusal is a reason to call an endpoint in plain, which cannot be where it is the agent itself."""
    return not agents.strict and agents.plain_if_refused and endpoint.agent != (endpoint.host, endpoint.port)


def _verified(wire: TlsWire, expected: str, node: str | None, where: str) -> str:
    """Return who is on the other side. Raises TlsCertificateFailed, with the connection closed, if it is not who
    is expected."""
    from tls.expected import verify_peer  # only where identities are asked for
    from tls.identity import IdentityError

    try:
        return verify_peer(wire.peer_certificate(), expected, node)
    except IdentityError as error:
        wire.close()
        raise TlsCertificateFailed(f"{where}: the certificate is refused: {error}") from None


def _failed(endpoint: Endpoint, error: OSError) -> ProxyError:
    words = f"dial {endpoint.show()}: {(error.strerror or str(error)).lower()}"
    if error.errno in OUR_OWN:
        return Overloaded(words)
    failed = ConnectFailed(words)
    failed.nobody_listens = error.errno == errno.ECONNREFUSED
    return failed
