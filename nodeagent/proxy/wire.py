"""One connected socket, read and written the cheap way. An edge.

After an answer is written the next message is never there yet, so reading waits first and then calls the socket's own
non-blocking `recv`; writing tries `send` at once and waits only for what did not fit. Writing does not yield when the
kernel takes all bytes at once: a conversation yields whenever it reads. Where a message is mostly small enough for
that, `send_nowait` saves its caller a coroutine, and `send` is for what is left.

The kernel tells once (edge-triggered) that there is something to read. `_ready` keeps that until a `recv` found less
than it asked for, which means that the socket was empty (epoll(7)); after the end it stays.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import termios
from collections.abc import Callable
from fcntl import ioctl
from typing import TYPE_CHECKING, ClassVar

import trio
from trio import lowlevel

from namer.addr import show_address
from nodeagent.proxy.frugal import FRUGAL
from nodeagent.proxy.readiness import Line, readiness

if TYPE_CHECKING:
    from nodeagent.telemetry.exchange import Transport
    from tls.peer import Peer

BYTES_ACKED = struct.Struct("Q")

RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: a close is a reset."""


class Wire:
    """A non-blocking stream socket with the bytes that were read and not used yet. One task reads it at a time."""

    plain: ClassVar = True
    """Whether the bytes on the wire are those of the message, so that the kernel can move them by itself."""

    __slots__ = (
        "_ended",
        "_poll",
        "_read",
        "_readiness",
        "_ready",
        "_task",
        "_write",
        "buffer",
        "closed",
        "fd",
        "line",
        "on_end",
        "sock",
        "transport",
    )

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self.buffer = b""
        """Read, and not used yet."""
        self.closed = False
        self.transport: Transport | None = None
        """How it was made, where the agent has made it and TLS is configured."""
        self.on_end: Callable[[bool], None] | None = None
        """Called when the peer has sent its last byte (False) or broke the connection (True), whether or not anybody
        reads; a break may follow an end."""
        self._read = sock.recv
        self._write = sock.send
        self._poll: Callable[[int], list[tuple[int, int]]] | None = None
        self._ready = False
        self._ended = False
        self.line: Line | None = None
        """Of its caller's connections, where it waits for its turn to be told; None when it is told at once."""
        self._task: lowlevel.Task | None = None  # waits in `receive`
        self._readiness = readiness()
        self._readiness.add(self)

    async def receive(self) -> bytes:
        """Return new bytes from the socket, b"" when the peer has ended. Cancelling is safe: nothing is lost.

        Always yields to other tasks. Raises OSError when the connection broke, trio.ClosedResourceError after `close`.
        """
        while True:
            if self._ready:
                await lowlevel.checkpoint()
            else:
                assert self._task is None, "two tasks read one connection"
                self._task = lowlevel.current_task()
                await lowlevel.wait_task_rescheduled(self._stop_waiting)
            size = FRUGAL.piece
            try:
                data = self._read(size)
            except (BlockingIOError, InterruptedError):
                self._ready = self._ended
                continue
            except OSError:
                if self.closed:
                    raise trio.ClosedResourceError("closed by the agent") from None
                raise
            if len(data) < size:
                self._ready = self._ended
            return data

    async def wait_readable(self) -> None:
        """Wait until there is something, or the end, to be read past this class. Cancelling is safe.

        Whoever then finds nothing more says so by `exhausted`.
        """
        if self._ready or self.closed:
            await lowlevel.checkpoint()
        else:
            assert self._task is None, "two tasks read one connection"
            self._task = lowlevel.current_task()
            await lowlevel.wait_task_rescheduled(self._stop_waiting)
        if self.closed:
            raise trio.ClosedResourceError("closed by the agent")

    def progress(self) -> None:
        """Do nothing: what stands in front of a wire may want to hear of it."""

    def exhausted(self) -> None:
        """Hear that the socket is empty for now."""
        self._ready = self._ended

    def _stop_waiting(self, _: object) -> lowlevel.Abort:
        self._task = None
        return lowlevel.Abort.SUCCEEDED

    def wake(self) -> None:
        """Hear that there is something to read, or the end."""
        self._ready = True
        if self._task is not None:
            lowlevel.reschedule(self._task)
            self._task = None

    def end(self, broken: bool) -> None:
        """Hear that the peer has sent its last byte, or broke the connection. `wake` follows."""
        if broken or not self._ended:
            self._ended = True
            if self.on_end is not None:
                self.on_end(broken)

    async def read(self) -> bytes:
        """Return the buffered bytes, or else new ones. Cancelling is safe."""
        if self.buffer:
            data, self.buffer = self.buffer, b""
            return data
        return await self.receive()

    def unread(self, data: bytes) -> None:
        """Put `data` back in front."""
        self.buffer = data + self.buffer

    def send_nowait(self, data: bytes) -> int:
        """Write what the kernel takes at once, return how many bytes that were. Raises OSError."""
        try:
            return self._write(data)
        except (BlockingIOError, InterruptedError):
            return 0

    async def send(self, data: bytes, sent: int = 0) -> None:
        """Write all of `data` from `sent` on. Cancelled half-way, the connection is of no more use: close it.

        Raises OSError when the connection broke.
        """
        rest = memoryview(data)[sent:]
        while rest:
            try:
                rest = rest[self._write(rest) :]
            except (BlockingIOError, InterruptedError):
                await lowlevel.wait_writable(self.fd)

    def has_bytes(self) -> bool:
        """Tell whether something (or the end) can be read already; a broken connection counts. Asks the kernel."""
        if self.buffer or self._ended:
            return True
        if self._poll is None:
            poll = select.poll()
            poll.register(self.fd, select.POLLIN | select.POLLRDHUP)
            self._poll = poll.poll
        return bool(self._poll(0))

    def took_none(self, size: int) -> bool:
        """Tell whether the peer provably took none of the `size` bytes written last. Asks the kernel.

        To be asked only when `receive` has returned b"" and no write has failed: then the peer has closed, and its
        close acknowledged all that had reached it before (RFC 9293, 3.4). Bytes that are not acknowledged came later,
        and a server that has closed processes no more (RFC 9112, 9.6). After a reset the kernel's count proves nothing:
        it disregards what a reset acknowledges, and a peer may have read bytes that it had not acknowledged yet (RFC
        1122, 4.2.3.2, delayed ACK). A Unix socket counts memory and not bytes (unix(7)), which proves nothing either.
        """
        return self.sock.family != socket.AF_UNIX and self.unacknowledged() >= size

    def unacknowledged(self) -> int:
        """Return how many bytes were written that the peer's kernel has not taken yet (SIOCOUTQ, tcp(7))."""
        try:
            return int(struct.unpack("i", ioctl(self.fd, termios.TIOCOUTQ, bytes(4)))[0])
        except OSError:
            return 0

    def acknowledged(self) -> int:
        """Return how many bytes the peer's kernel has taken so far: `tcpi_bytes_acked` of TCP_INFO."""
        try:
            return int(BYTES_ACKED.unpack_from(self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128), 120)[0])
        except (OSError, struct.error):  # no TCP, or a kernel before 4.1
            return 0

    def send_eof(self) -> None:
        """Tell the peer that nothing more comes; reading goes on."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    async def linger(self, seconds: float, most: int) -> None:
        """Tell the peer that nothing more comes, and throw away what it still sends, for so long and so many bytes.

        For the last answer, which a reset would destroy on its way (RFC 9112, 9.6).
        """
        self.send_eof()
        self.buffer = b""
        seen = 0
        with trio.move_on_after(seconds):
            while seen < most and (data := await self.receive()):
                seen += len(data)

    def close(self) -> None:
        """Close the socket; whoever waits on it gets trio.ClosedResourceError. Idempotent."""
        if not self.closed:
            self.closed = True
            self.on_end = None
            self._readiness.discard(self)
            lowlevel.notify_closing(self.fd)
            self.sock.close()
            self.wake()

    def release(self) -> tuple[socket.socket, bytes]:
        """Give the socket away, with what was read and not used; to be called by whoever reads. This one is closed."""
        self.closed = True
        self.on_end = None
        self._readiness.release(self)
        begun, self.buffer = self.buffer, b""
        return self.sock, begun

    def abort(self) -> None:
        """Close with a reset, so that a peer that is reading sees a break and no clean end (RFC 9112, 8)."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close()

    @property
    def is_awaited(self) -> bool:
        """Whether a task waits for bytes of the peer."""
        return self._task is not None

    @property
    def wire(self) -> Wire:
        """Itself: what stands in front of a wire has one, too."""
        return self

    @property
    def client(self) -> Peer | None:
        """Who has called, by a certificate: nobody says so without TLS."""
        return None

    @property
    def is_misdirected(self) -> Callable[[bytes], bool] | None:
        """Tells of a Host whether it should have been asked for otherwise; None where every Host is as good."""
        return None

    @property
    def peer(self) -> str:
        """The other side as "ip:port"."""
        return _peer_name(self.sock)


def _peer_name(sock: socket.socket) -> str:
    try:
        name = sock.getpeername()
    except OSError:
        return "unknown"
    if not isinstance(name, tuple):
        return "unix"
    return show_address(name[0], name[1])


CLOSED = (OSError, trio.ClosedResourceError, trio.BusyResourceError)
"""What reading and writing raise when the connection is gone."""
