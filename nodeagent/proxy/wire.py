"""One connected socket, read and written the cheap way. An edge.

After an answer is written the next message is never there yet, so reading waits first and then calls the socket's own
non-blocking `recv`; writing tries `send` at once and waits only for what did not fit. Nothing here yields when the
kernel takes all bytes at once: a conversation yields whenever it reads. Where a message is mostly small enough for that,
`send_nowait` saves its caller a coroutine, and `send` is for what is left.
"""

from __future__ import annotations

import contextlib
import socket

import trio
from trio.lowlevel import notify_closing, wait_readable, wait_writable

READ_SIZE = 64 * 1024
"""Bytes asked of the kernel at once: the most that one connection holds of a body."""


class Wire:
    """A non-blocking stream socket with the bytes that were read and not used yet."""

    __slots__ = ("_read", "_write", "buffer", "closed", "fd", "sock")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self.buffer = b""
        """Read, and not used yet."""
        self.closed = False
        self._read = sock.recv
        self._write = sock.send

    async def receive(self) -> bytes:
        """Return new bytes from the socket, b"" when the peer has ended. Cancelling is safe: nothing is lost.

        Raises OSError when the connection broke.
        """
        while True:
            await wait_readable(self.fd)
            try:
                return self._read(READ_SIZE)
            except (BlockingIOError, InterruptedError):
                continue

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
                await wait_writable(self.fd)

    def has_bytes(self) -> bool:
        """Tell whether something (or the end) can be read already; a broken connection counts."""
        if self.buffer:
            return True
        try:
            self._read(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True
        return True

    def send_eof(self) -> None:
        """Tell the peer that nothing more comes; reading goes on."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket; whoever waits on it gets trio.ClosedResourceError. Idempotent."""
        if not self.closed:
            self.closed = True
            with contextlib.suppress(RuntimeError):  # no trio around: only in a synchronous test
                notify_closing(self.fd)
            self.sock.close()

    def abort(self) -> None:
        """Close with a reset, so that a peer that is reading sees a break and no clean end (RFC 9112, 8)."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            self.close()

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
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


CLOSED = (OSError, trio.ClosedResourceError, trio.BusyResourceError)
"""What reading and writing raise when the connection is gone."""
