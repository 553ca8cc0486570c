"""The server of an authority: HTTPS, one request a connection, everything bounded. An edge.

hypercorn serves the admin port, and not this: it says nothing of the certificate that a client has shown, and bounds
neither handshakes nor connections of one address.
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import h11
import msgspec
import structlog
import trio

from nodeagent.ca.messages import JOIN, RENEW, TRUST
from nodeagent.ca.rates import Rates
from nodeagent.ca.service import CaService, Refused
from nodeagent.telemetry.loglimit import LogLimit
from tls.request import MAX_REQUEST

log = structlog.get_logger("nodeagent.ca")

MAX_HEAD: Final = 8 * 1024
"""Bytes of a request's head."""

THREADS: Final = 4
"""Requests that are worked on at once; signing takes a fraction of a millisecond."""


@dataclass(frozen=True, slots=True)
class CaLimits:
    """What callers may take."""

    connections: int = 128
    """At once; others wait to be accepted."""
    per_address: int = 32
    """Connections of one address at once; more are closed. A thousand hosts may be behind one."""
    handshake: float = 5.0
    """Seconds for a handshake."""
    exchange: float = 15.0
    """Seconds for all of a connection."""
    burst: int = 100
    """Requests of one address at once."""
    per_second: float = 20.0
    """Requests of one address in the long run."""


class CaServer:
    """Answers on a listening socket."""

    def __init__(
        self, service: CaService, context: Callable[[], Awaitable[ssl.SSLContext]], limits: CaLimits = CaLimits()
    ) -> None:
        """`context` is asked for at every connection, so that it may change."""
        self._service = service
        self._context = context
        self._limits = limits
        self._room = trio.Semaphore(limits.connections)
        self._from: Counter[str] = Counter()
        self._rates = Rates(limits.burst, limits.per_second)
        self._threads = trio.CapacityLimiter(THREADS)
        self._told = LogLimit()

    async def run(self, listener: trio.SocketListener) -> None:
        """Serve until cancelled, which cuts what is under way."""
        async with trio.open_nursery() as nursery, listener:
            while True:
                await self._room.acquire()
                try:
                    stream = await listener.accept()
                except trio.ClosedResourceError:
                    return
                except OSError as error:  # no descriptor left: others may end meanwhile
                    log.warning("a connection cannot be accepted", error=str(error))
                    self._room.release()
                    await trio.sleep(0.1)
                    continue
                nursery.start_soon(self._connection, stream)

    async def _connection(self, stream: trio.SocketStream) -> None:
        peer = "unknown"
        try:
            with suppress(OSError):
                peer = stream.socket.getpeername()[0]
            self._from[peer] += 1
            if self._from[peer] <= self._limits.per_address:
                with trio.move_on_after(self._limits.exchange):
                    await self._secure(stream, peer)
        finally:
            self._from[peer] -= 1
            self._from += Counter()  # forgets those with none
            self._room.release()
            await trio.aclose_forcefully(stream)

    async def _secure(self, stream: trio.SocketStream, peer: str) -> None:
        secured = trio.SSLStream(stream, await self._context(), server_side=True, https_compatible=True)
        try:
            with trio.fail_after(self._limits.handshake):
                await secured.do_handshake()
        except trio.TooSlowError:
            self._tell("a handshake takes too long", peer)
            return
        except trio.BrokenResourceError as error:
            self._tell("a handshake has failed", peer, error=_reason(error))
            return
        with suppress(trio.BrokenResourceError, h11.RemoteProtocolError):
            await self._exchange(secured, peer)
            await secured.aclose()

    async def _exchange(self, secured: trio.SSLStream[trio.SocketStream], peer: str) -> None:
        machine = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        try:
            request, body = await _read(secured, machine)
            if not self._rates.allows(peer, trio.current_time()):
                raise Refused(429, "too many requests from this address; wait a few seconds")
            certificate = secured.getpeercert(binary_form=True)
            answer = await trio.to_thread.run_sync(
                partial(self._answer, request, body, certificate, peer), limiter=self._threads
            )
            status, kind, content = 200, b"application/json", msgspec.json.encode(answer)
        except Refused as refused:
            self._tell("a request is refused", peer, status=refused.status, reason=str(refused))
            status, kind, content = refused.status, b"text/plain; charset=utf-8", f"{refused}\n".encode()
        except h11.RemoteProtocolError as error:
            status, kind, content = error.error_status_hint, b"text/plain; charset=utf-8", f"{error}\n".encode()
        headers = [
            (b"content-type", kind),
            (b"content-length", str(len(content)).encode()),
            (b"connection", b"close"),
        ]
        if machine.our_state is h11.IDLE or machine.our_state is h11.SEND_RESPONSE:
            head = machine.send(h11.Response(status_code=status, headers=headers)) or b""
            await secured.send_all(head + (machine.send(h11.Data(data=content)) or b""))

    def _tell(self, event: str, peer: str, **more: object) -> None:
        """Log what anybody can bring about, and so not as often as they like."""
        if (held := self._told.take(trio.current_time())) is not None:
            log.warning(event, peer=peer, not_logged=held, **more)

    def _answer(self, request: h11.Request, body: bytes, certificate: bytes | None, peer: str) -> object:
        """Do what is asked for, in a thread. Raises Refused, and nothing else: one request must not end the server."""
        try:
            return self._do(request, body, certificate, peer)
        except Refused:
            raise
        except Exception:
            log.exception("a request has met a fault in the authority", peer=peer)
            raise Refused(500, "a fault in the authority; its log has it") from None

    def _do(self, request: h11.Request, body: bytes, certificate: bytes | None, peer: str) -> object:
        match request.method, request.target.partition(b"?")[0].decode("ascii", "replace"):
            case b"GET", path if path == TRUST:
                return self._service.trust()
            case b"POST", path if path == JOIN:
                return self._service.join(_bearer(request), body, peer)
            case b"POST", path if path == RENEW:
                return self._service.renew(certificate, body, peer)
            case _, path if path in (TRUST, JOIN, RENEW):
                raise Refused(405, f"{path} is not for this method")
        raise Refused(404, "there is nothing here; this is a certificate authority of nodeagent")


async def _read(secured: trio.SSLStream[trio.SocketStream], machine: h11.Connection) -> tuple[h11.Request, bytes]:
    """The one request of a connection. Raises Refused when it is too long."""
    request: h11.Request | None = None
    body = bytearray()
    while True:
        event = machine.next_event()
        if event is h11.NEED_DATA:
            if machine.they_are_waiting_for_100_continue:
                await secured.send_all(machine.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            machine.receive_data(bytes(await secured.receive_some(MAX_HEAD)))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_REQUEST:
                raise Refused(413, f"a request has at most {MAX_REQUEST} bytes")
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            return request, bytes(body)
        else:  # they went away
            raise trio.BrokenResourceError


def _bearer(request: h11.Request) -> str:
    for name, value in request.headers:
        if name == b"authorization" and value[:7].lower() == b"bearer " and len(value) <= 100 and value.isascii():
            return value[7:].decode().strip()
    raise Refused(401, "to join, a token is needed; `nodeagent ca token` makes one")


def _reason(error: trio.BrokenResourceError) -> str:
    cause = error.__cause__
    return str(getattr(cause, "reason", None) or cause or error).replace("_", " ").lower()
