"""A connected socket that speaks TLS, with the interface of a `Wire`. An edge.

OpenSSL works in memory here, and never touches the socket (as in trio's SSLStream). An exchange costs 2 microseconds
more than with OpenSSL on the socket; for that, no direction ever waits for the other one, a half-close loses nothing
that is still to be read, looking at an idle connection takes in session tickets (RFC 8446, 4.6.1) without taking them
for data, and the answer to a key update (4.6.3) goes out when there is room.

An end without close_notify is an error (ssl.SSLError), never the clean end of a message. That, as all of
`ssl.SSLError`, is an OSError. The context decides about verification: see `tls.contexts`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio
from trio import lowlevel

from nodeagent.proxy.errors import TlsCertificateFailed
from nodeagent.proxy.frugal import FRUGAL, PIECE
from nodeagent.proxy.tlsfaults import tls_failure
from nodeagent.proxy.wire import Wire
from tls.params import host_name

if TYPE_CHECKING:
    from tls.peer import Peer
    from tls.revocation import Revocations

BATCH = 64 * 1024
"""Bytes encrypted at once: the most that one connection holds of what is on its way out."""

MAX_HELLO = 16 * 1024
"""Bytes of what a client begins with; a ClientHello with post-quantum keys has two thousand."""

MAX_HANDSHAKE = 256 * 1024
"""Bytes of all that follows. OpenSSL takes chains of certificates of 100 KiB."""


async def start_tls(
    sock: socket.socket,
    context: ssl.SSLContext,
    server_name: str | None,
    where: str,
    revoked: Revocations | None = None,
) -> TlsWire:
    """Speak TLS on a connected socket, as the client. `where` ("dial 10.0.0.7:8443") is for the error's text.

    A peer whose certificate is among the `revoked` gets nothing. Raises TlsFailed. Then, and when cancelled, the
    socket is closed.
    """
    try:
        wire = TlsWire(sock, context, server_name)
        await wire.handshake()
        if revoked is not None and (certificate := wire.peer_certificate()) and revoked.revokes_der(certificate):
            raise TlsCertificateFailed(f"{where}: the certificate is refused: it is revoked")
    except (OSError, ValueError) as error:
        sock.close()
        raise tls_failure(error, where) from None
    except BaseException:
        sock.close()
        raise
    return wire


class HandshakeTooLong(ssl.SSLError):
    """The peer says more than a handshake takes."""


class TlsWire(Wire):
    """A `Wire` through TLS, as the client or the server. Shake hands before all else."""

    plain = False

    __slots__ = (
        "_dry",
        "_encrypted",
        "_filled",
        "_filling",
        "_incoming",
        "_outgoing",
        "_silent",
        "_tls",
        "_unsent",
        "client",
        "is_misdirected",
    )

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        server_name: str | None = None,
        *,
        server_side: bool = False,
        begun: bytes = b"",
    ) -> None:
        """`server_name` is what the certificate must be for; None for a server, and where nothing is verified.

        `begun` is what has come in already. Raises ValueError when the name is no host name.
        """
        super().__init__(sock)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        name = None if server_name is None else host_name(server_name)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, name)
        self._incoming.write(begun)
        self._dry = False
        """Nothing that came in is left to decrypt: asking OpenSSL all the same costs an exception."""
        self.client: Peer | None = None
        """Who has called, where that was asked for and a certificate shown."""
        self.is_misdirected: Callable[[bytes], bool] | None = None
        """As of `Wire`."""
        self._unsent = b""
        """Taken out of `_outgoing`, and not taken by the kernel yet."""
        self._encrypted = 0
        """Bytes of the message under way that `send_nowait` encrypted, and did not count as sent."""
        self._filling = False
        self._filled: lowlevel.ParkingLot | None = None
        self._silent = False
        """To be closed without close_notify."""

    async def handshake(self) -> None:
        """Agree on keys, and verify who is there. Cancelled or failed, the connection is of no more use.

        Raises OSError; of those ssl.SSLCertVerificationError, when the certificate is refused, and HandshakeTooLong.
        """
        left, answered = MAX_HELLO, False
        while True:
            left -= self._incoming.pending  # OpenSSL asks for more when it has taken all
            if left < 0:
                raise HandshakeTooLong("too much for a handshake")
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                if not answered and self._outgoing.pending:
                    left, answered = MAX_HANDSHAKE, True
                await self._flush()
                await self._fill()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush_nowait()  # the alert, which tells the peer
                raise
            else:
                break
        await self._flush()

    @property
    def version(self) -> str:
        """What is spoken: `TLSv1.3`."""
        return self._tls.version() or "none"

    @property
    def context(self) -> ssl.SSLContext:
        """What is spoken with: of a server with several certificates the one for the name that was asked for."""
        return self._tls.context

    def peer_certificate(self) -> bytes | None:
        """The certificate (DER) that the peer has shown in the handshake, None when it had none."""
        return self._tls.getpeercert(binary_form=True)

    async def receive(self) -> bytes:
        """Return new bytes, b"" when the peer has ended. Cancelling is safe: nothing is lost.

        Raises OSError when the connection broke, or ended without close_notify.
        """
        while True:
            if not self._dry:
                try:
                    return self._decrypt()
                except ssl.SSLWantReadError:
                    self._dry = True
            if self._filling or self._outgoing.pending or self.closed:
                await self._fill()
                continue
            self._filling = True  # as `_fill` and `wait_readable` do it, without coroutines for that
            try:
                if self._ready:
                    await lowlevel.checkpoint()
                else:
                    assert self._task is None, "two tasks read one connection"
                    self._task = lowlevel.current_task()
                    await lowlevel.wait_task_rescheduled(self._stop_waiting)
                if self.closed:
                    raise trio.ClosedResourceError("closed by the agent")
                self._feed_nowait()
            finally:
                self._filling = False
                if self._filled is not None:
                    self._filled.unpark_all()

    def send_nowait(self, data: bytes) -> int:
        """Encrypt and write what the kernel takes at once, return how many bytes that were. Raises OSError.

        When those were not all, `send` must follow with the same data.
        """
        if self._unsent:
            return 0
        try:
            taken = self._tls.write(data if len(data) <= BATCH else memoryview(data)[:BATCH])
        except ssl.SSLWantReadError:
            return 0
        waiting = self._outgoing.read()  # as `_flush_nowait` does it, without a call for that
        try:
            sent = self._write(waiting)
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent == len(waiting):
            return taken
        self._unsent = waiting[sent:]
        self._encrypted = taken
        return 0

    async def send(self, data: bytes, sent: int = 0) -> None:
        """Write all of `data` from `sent` on. Cancelled half-way, the connection is of no more use: close it.

        Raises OSError when the connection broke.
        """
        rest = memoryview(data)[sent + self._encrypted :]
        self._encrypted = 0
        await self._flush()
        while rest:
            try:
                rest = rest[self._tls.write(rest[:BATCH]) :]
            except ssl.SSLWantReadError:  # in the middle of a handshake message of the peer
                await self._flush()
                await self._fill()
            await self._flush()

    def has_bytes(self) -> bool:
        """Tell whether something (or the end) can be read already; a broken connection counts.

        Messages of TLS itself do not: they are taken in.
        """
        if self.buffer:
            return True
        if self._dry and not self._ready and not super().has_bytes():
            return False
        try:
            self._feed_nowait()
            self.buffer = self._decrypt()
        except ssl.SSLWantReadError:
            return False
        except OSError:
            pass
        return True

    def took_none(self, size: int) -> bool:  # noqa: ARG002
        """Return False: the records of TLS itself are counted too, so that nothing is proved."""
        return False

    def send_eof(self) -> None:
        """Tell the peer that nothing more comes; reading goes on. Should the kernel be full, it is told later."""
        with contextlib.suppress(OSError):
            self._say_end()
            if not self._unsent:
                self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Say the end if that is possible at once, and close; whoever waits gets an OSError or ClosedResourceError.

        Idempotent.
        """
        if not self.closed and not self._silent:
            with contextlib.suppress(OSError):
                self._say_end()
        super().close()

    def abort(self) -> None:
        """Close with a reset and no close_notify, so that a peer that is reading sees a break."""
        self._silent = True
        super().abort()

    def _decrypt(self) -> bytes:
        """Return the application's bytes that came in, b"" at their end.

        Raises ssl.SSLWantReadError when there are none yet, OSError when the connection broke.
        """
        try:
            data = self._tls.read(PIECE)
        except ssl.SSLZeroReturnError:
            return b""
        if not self._incoming.pending:
            self._dry = bool(data)  # a record is smaller than a piece; and the end can be read again and again
            return data
        pieces = [data]
        while data and self._incoming.pending:
            try:
                data = self._tls.read(PIECE)
            except ssl.SSLError:  # what it is, is said again at the next call
                break
            pieces.append(data)
        return b"".join(pieces)

    def _feed_nowait(self) -> None:
        """Take in what the kernel has. Raises OSError."""
        size = FRUGAL.piece
        try:
            data = self._read(size)
        except (BlockingIOError, InterruptedError):
            self._ready = self._ended
            return
        if len(data) < size:
            self._ready = self._ended
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        self._dry = False

    async def _fill(self) -> None:
        """Wait for bytes of the peer; of two tasks that do, one asks the kernel. Cancelling is safe.

        Raises OSError, also when the peer makes TLS answer it without reading the answers.
        """
        if self.closed:
            raise trio.ClosedResourceError
        if self._outgoing.pending and not self._unsent:
            self._flush_nowait()
        if self._outgoing.pending > BATCH:
            raise ssl.SSLError("the peer asks and asks, and does not read the answers")
        if self._filling:
            if self._filled is None:
                self._filled = lowlevel.ParkingLot()
            await self._filled.park()
            return
        self._filling = True
        try:
            await self.wait_readable()
            self._feed_nowait()
        finally:
            self._filling = False
            if self._filled is not None:
                self._filled.unpark_all()

    async def _flush(self) -> None:
        while not self._flush_nowait():
            await lowlevel.wait_writable(self.fd)

    def _flush_nowait(self) -> bool:
        """Give the kernel what is encrypted; True when it took all of it. Raises OSError."""
        waiting = self._outgoing.read()
        if self._unsent:
            waiting = self._unsent + waiting
        if not waiting:
            return True
        self._unsent = waiting
        try:
            sent = self._write(waiting)
        except (BlockingIOError, InterruptedError):
            return False
        self._unsent = waiting[sent:]
        return sent == len(waiting)

    def _say_end(self) -> None:
        """Send close_notify, behind what is on its way. Raises OSError."""
        with contextlib.suppress(ssl.SSLError):  # it never waits for the peer's
            self._tls.unwrap()
        self._flush_nowait()
