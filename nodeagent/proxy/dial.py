"""Connects to an endpoint. An edge: the only place that opens connections for traffic."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable
from logging import DEBUG

import structlog
import trio

from namer.addr import Endpoint
from nodeagent.http1.upstream import Http1Connection
from nodeagent.proxy.errors import ConnectFailed, ConnectTimeout, LoopDetected, Overloaded, ProxyError, TlsFailed
from nodeagent.proxy.tlswire import start_tls
from nodeagent.proxy.wire import Wire
from tls.contexts import Contexts
from tls.files import TlsConfigError
from tls.params import ClientTls

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

        `preface` is said before all else, TLS included.

        Raises LoopDetected, ConnectFailed, ConnectTimeout, TlsFailed, or Overloaded when this host has no room for it.
        """
        if not is_enabled(DEBUG):
            return await self._open(endpoint, within, tls, preface)
        began = trio.current_time()
        try:
            wire = await self._open(endpoint, within, tls, preface)
        except ProxyError as error:
            log.debug("an endpoint was not reached", endpoint=endpoint.show(), error=error.message)
            raise
        milliseconds = round((trio.current_time() - began) * 1000, 1)
        log.debug("a connection is made", endpoint=endpoint.show(), ms=milliseconds, tls=tls is not None)
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
        return await start_tls(sock, side.context, tls.server_name, where, side.revoked)

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


def _failed(endpoint: Endpoint, error: OSError) -> ProxyError:
    kind = Overloaded if error.errno in OUR_OWN else ConnectFailed
    return kind(f"dial {endpoint.show()}: {(error.strerror or str(error)).lower()}")
