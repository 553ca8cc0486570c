"""One connection of a local program: requests in, answers out, in order. An edge.

    reading a head --whole--> answering --kept--> reading a head
          |                      '--CONNECT accepted--> tunnel
          '--end, idle, too slow, not HTTP--> closed

One task and one cancel scope serve the whole connection; a request costs neither, unless its body streams. Time limits
are a number (`deadline`) that the server's sweep compares, not a timer to move. That the caller has gone is told by the
connection (`hung_up`), so that waiting for a backend needs no second task.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

import structlog
import trio

from nodeagent.http1.body import CHUNKED, StreamBody, request_framing
from nodeagent.http1.downstream import render_response, whole_body, whole_chunked
from nodeagent.http1.head import check_incomplete, keeps_alive, parse_request
from nodeagent.http1.upgrade import settle_offer, switch_fields
from nodeagent.http1.upstream import Switched, render_last_chunk
from nodeagent.proxy.caller import Caller
from nodeagent.proxy.errors import BadRequest, ProxyError
from nodeagent.proxy.messages import Body, Request, RequestHead, Response
from nodeagent.proxy.replay import ReplayBody
from nodeagent.proxy.splice import BULK
from nodeagent.proxy.stall import Stall
from nodeagent.proxy.tunnel import Tunnel, relay
from nodeagent.proxy.wire import CLOSED, Wire
from nodeagent.telemetry.trace import request_id_line

if TYPE_CHECKING:
    from nodeagent.proxy.fairness import Account
    from nodeagent.proxy.server import Server

log = structlog.get_logger("nodeagent.conversation")

HALF_CLOSE_GRACE = 0.1
"""Seconds after a request within which the end of the caller's sending means "I have sent all I had" (`nc -N`), and
after which it means that the caller has gone. The two look alike on the wire; callers that half-close do it at once."""

QUIET = 0.5
"""Seconds without a request after which a connection that is to end does."""

LINGER = 1.0
"""Seconds that a refused client gets to read the answer while its own bytes are thrown away (RFC 9112, 9.6)."""

LINGER_BYTES = 1 << 20

_CONNECTED = b"HTTP/1.1 200 Connection Established\r\nVia: 1.1 nodeagent\r\n%b\r\n"


class Conversation:
    """Serves one downstream HTTP/1 connection."""

    __slots__ = (
        "_asked_at",
        "_caller",
        "_client",
        "_head_begun",
        "_last",
        "_owed",
        "_replay",
        "_scope",
        "_sent",
        "_stall",
        "_why",
        "account",
        "answering",
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
        self._client = wire.client
        self.server = server
        self.account = account
        self._caller = caller
        self.deadline = inf
        """When the sweep ends it, in trio's clock."""
        self.opened_at = server.now()
        self.answering = False
        self.tunnelling = False
        self._last = False
        self._owed = False  # a request was read, and no answer to it was counted yet
        self._replay: ReplayBody | None = None
        self._head_begun = False
        self._asked_at = 0.0
        self._sent = 0  # of the body of the answer under way
        self._why: ProxyError | None = None
        self._stall: Stall | None = None
        self._scope = trio.CancelScope()
        wire.on_end = self.hung_up

    @staticmethod
    def turn_away(sock: socket.socket, server: Server, why: ProxyError) -> None:
        """Answer a connection for which there is no place, before it is closed. Never waits."""
        response = server.router.refuse(why)
        if server.edge is not None:
            server.edge.outbound(response)
        server.answered(response.status)
        with suppress(OSError):
            sock.setblocking(False)
            sock.send(render_response(response, whole_body(response), keep=False))
            sock.shutdown(socket.SHUT_WR)
            sock.recv(65536)  # what is not read makes the close a reset, which could destroy the answer on its way

    async def run(self) -> None:
        """Serve requests until either side ends the connection. Never raises; cancelling closes it."""
        try:
            with self._scope:
                await self._serve()
            if self._why is not None and self.answering and not self._owed:
                self._break_off(self._why)
            elif self._why is not None:
                await self._refuse(self._why)
        except CLOSED:
            pass
        except Exception:
            log.exception("a bug: the connection is closed", peer=self.peer)
        finally:
            self.wire.close()
            self._stall = None  # the two would hold each other
            if self._owed:
                self.server.abandoned()

    def idle_since(self) -> float:
        """Return since when nothing has been under way; infinity while something is, and when it ends already."""
        return inf if self.answering or self.deadline == inf else max(self.opened_at, self._asked_at)

    # Told from outside.

    def expire(self) -> None:
        """The deadline has passed: say so when a request had begun, and close."""
        if self.answering:
            stall = self._watch()
            if stall.is_over():
                self.progress()
                return
            self._why = stall.error(answered=not self._owed)
        elif self.wire.buffer:
            self._why = BadRequest("the request head did not arrive in time", status=408)
        self.deadline = inf
        self._scope.cancel()

    def hung_up(self, broken: bool) -> None:
        """The caller's side of the connection ended, or the whole connection broke."""
        if self.tunnelling:
            return
        if broken:
            if self.answering:
                self._scope.cancel()
        elif self.answering and self.server.now() - self._asked_at > HALF_CLOSE_GRACE:
            self._scope.cancel()

    def finish(self) -> None:
        """Make the next answer the last one; end soon when no request comes.

        Not at once: a request may be on its way, and a connection that closes on it looks like a failure.
        """
        if not self._last:
            self._last = True
            if not self.answering:
                self.deadline = min(self.deadline, self.server.now() + QUIET)

    def progress(self) -> None:
        """Hear that something of a body has come."""
        self.deadline = self.server.now() + self.server.limits.stream_idle

    def _moved(self, size: int) -> None:
        self._sent += size
        self.progress()

    def _watch(self) -> Stall:
        if self._stall is None:
            self._stall = Stall(self.wire, self.server.limits.stream_idle, self.progress)
        return self._stall

    def save_memory(self) -> None:
        """Keep nothing of a body that is being sent, so that it cannot be sent again."""
        if self._replay is not None:
            self._replay.forget()

    def _body_ended(self, whole: bool) -> None:  # noqa: ARG002
        self._asked_at = self.server.now()
        if self._owed:  # what is waited for now is an answer, and no body
            self.deadline = inf

    # The exchange.

    async def _serve(self) -> None:
        server, wire = self.server, self.wire
        is_misdirected = wire.is_misdirected
        keep = True
        while keep:
            self.deadline = server.now() + (QUIET if self._last else server.limits.idle)
            try:
                while (head := self._take_head()) is None:
                    data = await wire.receive()
                    if not data:
                        self._check_end()
                        return
                    wire.buffer += data
                framing = self._framing(head) if head.special else 0
            except BadRequest as error:
                await self._refuse(error)
                return
            self.answering = self._owed = True
            self.deadline = inf
            self._head_begun = False
            self._asked_at = now = server.now()
            if is_misdirected is not None and head.method != b"CONNECT" and is_misdirected(head.authority):
                await self._misdirected(head, now)
                return
            if framing == 0 and head.method != b"CONNECT":
                keep = await self._respond(Request(head, b"", now, self.peer, self._client), None)
            else:
                keep = await self._answer(head, framing, now)
            self.answering = False

    def _take_head(self) -> RequestHead | None:
        """Take the next request's head out of the buffer; None while it is not whole. Raises BadRequest."""
        buffer = self.wire.buffer
        if not buffer:
            return None
        limits = self.server.limits
        if buffer.startswith(b"\r\n"):
            buffer = buffer[2:]  # one empty line before a request is forgiven (RFC 9112, 2.2)
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            check_incomplete(buffer, limits.line, limits.head)
            if not self._head_begun:
                self._head_begun = True
                self.deadline = self.server.now() + limits.head_time
            return None
        if end > limits.head or end > limits.line:  # only then can one of the limits be exceeded
            check_incomplete(buffer[:end], limits.line, limits.head)
        end += 4
        self.wire.buffer = buffer[end:]
        return parse_request(buffer[:end])

    def _framing(self, head: RequestHead) -> int:
        framing = request_framing(head)
        if b"upgrade" in head.special:
            settle_offer(head, whole=0 <= framing <= len(self.wire.buffer))
        return framing

    def _check_end(self) -> None:
        if self.wire.buffer:
            raise BadRequest("the connection ended inside a request head")

    async def _answer(self, head: RequestHead, framing: int, now: float) -> bool:
        """Answer a request with a body, or a CONNECT; return whether the connection can take another."""
        wire = self.wire
        if head.method == b"CONNECT":
            await self._tunnel(head, framing, now)
            return False
        if 0 < framing <= len(wire.buffer):
            body = wire.buffer[:framing]
            wire.buffer = wire.buffer[framing:]
            return await self._respond(Request(head, body, now, self.peer, self._client), None)
        # While its body comes in, the request is not asked yet: the grace for a half-close begins at the body's end.
        self._asked_at = inf
        self.progress()
        stream = StreamBody(self._watch(), framing, BadRequest, self._body_ended)
        self._replay = None if framing == CHUNKED else ReplayBody(stream)
        request = Request(head, self._replay or stream, now, self.peer, self._client)
        async with trio.open_nursery() as nursery:
            request.nursery = nursery
            keep = await self._respond(request, stream)
            nursery.cancel_scope.cancel()
        self._replay = None
        if not stream.whole:
            await self.wire.linger(LINGER, LINGER_BYTES)
            return False
        return keep

    async def _respond(self, request: Request, stream: StreamBody | None) -> bool:
        """Route the request and write its answer; return whether the connection can take another."""
        server, head = self.server, request.head
        if head.version == 11:
            request.interim = self._interim
        request.caller = self._caller
        edge = server.edge
        if edge is not None:
            edge.inbound(request, self.opened_at)
        refusal = server.admit(self.account)
        response: Response | None = None
        self._sent, whole = 0, False
        try:
            if refusal is None:
                response = await server.router.respond(request, server.limits.call_depth)
            else:
                response = server.router.refuse(refusal, request)
            keep = self._may_keep(head) and (stream is None or stream.whole)
            if response.status == 101 and self.wire.has_bytes():
                response.close()
                early = "bytes of another protocol came before it was agreed on (RFC 9110, 7.8)"
                response, keep = server.router.refuse(BadRequest(early), request), False
            if edge is not None:
                edge.outbound(response)
            server.answered(response.status)
            self._owed = False
            body = response.body
            if not isinstance(body, bytes):
                if isinstance(body, Switched):
                    response.fields += switch_fields(response.special[b"upgrade"])
                    await self._relay(request, 101, render_response(response, b"", keep=True), body.wire, body.end)
                    return False
                keep = await self._stream(request, response, body, keep)
                whole = request.failure is None
                return keep
            if head.method == b"HEAD":
                body = b""
            size = len(body)
            if response.length is None and body:
                body = whole_chunked(response, body, head.version)
            out = render_response(response, body, keep)
            sent = self.wire.send_nowait(out)
            if sent != len(out):
                self.progress()
                await self.wire.send(out, sent)
            self._sent, whole = size, True
            return keep
        except CLOSED:
            return False
        finally:
            if refusal is None:
                server.leave(self.account)
            if not self.tunnelling:
                received = stream.received if stream is not None else len(request.body)  # type: ignore[arg-type]
                self._settle(request, response, received, whole)

    def _may_keep(self, head: RequestHead) -> bool:
        return head.version == 11 and not self._last and keeps_alive(11, head.special)

    async def _stream(self, request: Request, response: Response, body: Body, keep: bool) -> bool:
        wire = self.wire
        chunked = response.length is None and request.head.version == 11
        if chunked:
            response.fields += b"Transfer-Encoding: chunked\r\n"
        elif response.length is None:
            keep = False  # only the end of the connection can tell an HTTP/1.0 client
        self.progress()
        try:
            await wire.send(render_response(response, b"", keep))
            while piece := await body.read():
                self.progress()
                await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                self._sent += len(piece)
                if len(piece) >= BULK and not chunked:
                    await body.pour(wire, self._moved)
        except ProxyError as error:
            request.failure = error
            self._break_off(error)
            return False
        finally:
            body.close()
        if chunked:
            await wire.send(render_last_chunk(body.trailers))
        return keep

    def _break_off(self, error: ProxyError) -> None:
        log.info("a response broke off", peer=self.peer, error=error.message)
        self.server.router.broke_off(error)
        self.wire.abort()  # a break and no clean end (RFC 9112, 8)

    async def _interim(self, status: int, fields: bytes) -> None:
        reason = b"Continue" if status == 100 else b"Early Hints" if status == 103 else b""
        try:
            await self.wire.send(b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, fields))
        except CLOSED:
            self._scope.cancel()

    async def _tunnel(self, head: RequestHead, framing: int, now: float) -> None:
        server = self.server
        request = Request(head, b"", now, self.peer, self._client)
        request.caller = self._caller
        self._sent = 0
        if framing:
            await self._refuse(BadRequest("CONNECT has no body"), request)
            return
        if server.edge is not None:
            server.edge.inbound(request, self.opened_at)
        refusal = server.admit(self.account)
        if refusal is not None:
            await self._refuse(refusal, request)
            return
        try:
            opened = await server.router.tunnel(request, server.limits.call_depth)
        except ProxyError as error:
            await self._refuse(error, request)
        else:
            self._owed = False
            server.answered(200)
            shown = server.edge is None or not server.edge.clear_context
            await self._relay(request, 200, _CONNECTED % (request_id_line(request.trace) if shown else b""), *opened)
        finally:
            server.leave(self.account)
            if not self.tunnelling and request.failure is None:
                self._settle(request, None)

    async def _relay(
        self, request: Request, status: int, answer: bytes, backend: Wire, over: Callable[[bool], None]
    ) -> None:
        """Say yes, and pass on what either side says. `over` is told at the end whether neither broke off."""
        self.tunnelling = True
        tunnel = Tunnel(self.wire, backend, self.server.limits.tunnel_idle)
        try:
            await relay(tunnel, over, counted=self.server.router.tunnels, first=answer)
        finally:
            self.server.records.settle_tunnel(request, tunnel, status)

    def _settle(self, request: Request, response: Response | None, received: int = 0, whole: bool = False) -> None:
        """Tell of a request that is over; without a response it was given up, by its caller or for a reason."""
        why = self._why
        if why is not None:
            request.failure = why
        if response is not None:
            status, verdict = response.status, response.verdict
        else:
            status, verdict = 0 if why is None else why.status, None
        self.server.records.settle(request, status, received, self._sent, whole, verdict)

    async def _misdirected(self, head: RequestHead, now: float) -> None:
        """Refuse a request for a name whose certificate this connection has not shown (RFC 9110, 15.5.20)."""
        host = head.authority.decode("latin-1")
        why = f"identify: {host} has a certificate of its own here, and this connection has asked for another (SNI)"
        await self._refuse(BadRequest(why, status=421), Request(head, b"", now, self.peer, self._client))

    async def _refuse(self, why: ProxyError, request: Request | None = None) -> None:
        """Answer what cannot be served, and stop listening."""
        response = self.server.router.refuse(why, request)
        if self.server.edge is not None:
            self.server.edge.outbound(response)
        body = whole_body(response)
        self._sent = len(body)
        if request is not None:
            self._settle(request, response, whole=True)
        elif not self.answering:
            self.server.records.refused(self.peer, why, len(body))
        self._owed = False
        self.server.answered(response.status)
        with trio.move_on_after(LINGER):
            await self.wire.send(render_response(response, body, keep=False))
        await self.wire.linger(LINGER, LINGER_BYTES)
