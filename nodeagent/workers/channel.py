"""What the supervisor and a worker say to each other, and the socket on which they do. An edge.

Each message is its length in four bytes and a msgpack map with its type. Who dies closes the socket, and the other one
sees that: so a worker ends when its supervisor does, whatever killed it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec
import trio

from nodeagent.workers.counts import Counts

MAX_MESSAGE: Final = 256 * 1024 * 1024
"""Bytes: what is longer is no message."""
QUEUE: Final = 256
"""Messages that may wait to be sent."""
_LENGTH: Final = struct.Struct("!I")


class Start(msgspec.Struct, tag=True):
    """The first message to a worker: all that it needs to know. Descriptors are those that it inherited."""

    worker: int
    workers: int
    text: str
    """The configuration, which has been checked."""
    origin: str
    """How messages call it."""
    ports: list[list[int]]
    """Where the servers of each router really listen."""
    listeners: list[int]
    admin: tuple[str, int]
    table: int
    memory_limit_mb: int | None
    says_hints: bool
    log_level: str
    log_changes: list[tuple[str, str, float]]
    """Loggers with other levels, and for how many seconds yet."""


class Drain(msgspec.Struct, tag=True):
    """Take no new connections, answer what is under way, and end."""


class Reopen(msgspec.Struct, tag=True):
    """Go on in new files, where access logs are files."""


class Ping(msgspec.Struct, tag=True):
    """Whether it is alive."""

    id: int


class Survey(msgspec.Struct, tag=True):
    """What it has counted."""

    id: int


class Ask(msgspec.Struct, tag=True):
    """A request for a page of the admin port."""

    id: int
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes


class Watch(msgspec.Struct, tag=True):
    """What requests there were that a tap wants, since this was asked last; the first time opens the tap."""

    id: int
    tap: int
    filter: str
    most: int


class Unwatch(msgspec.Struct, tag=True):
    """The tap is closed."""

    tap: int


class Standing(msgspec.Struct, tag=True):
    """How far a worker is: whether its listeners are open, and why it is not ready for traffic, None when it is."""

    serves: bool
    unready: str | None
    warnings: list[str] = []
    """What an operator should see to."""


class Pong(msgspec.Struct, tag=True):
    """It is alive."""

    id: int


class Told(msgspec.Struct, tag=True):
    """What it has counted."""

    id: int
    counts: Counts


class Answer(msgspec.Struct, tag=True):
    """The page that was asked for."""

    id: int
    status: int
    content_type: str
    body: bytes


class Seen(msgspec.Struct, tag=True):
    """What a tap saw: records in JSON, and how many more there were."""

    id: int
    records: list[bytes]
    dropped: int


ToWorker: TypeAlias = Start | Drain | Reopen | Ping | Survey | Ask | Watch | Unwatch
Reply: TypeAlias = Pong | Told | Answer | Seen
ToSupervisor: TypeAlias = Standing | Reply

Out = TypeVar("Out", ToWorker, ToSupervisor)
In = TypeVar("In", ToWorker, ToSupervisor)


class Congested(Exception):
    """The other side takes nothing any more."""


class Channel(Generic[Out, In]):
    """One end."""

    def __init__(self, sock: socket.socket, decoder: msgspec.msgpack.Decoder[In]) -> None:
        """`sock` is a connected stream socket, which is taken over."""
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode: Callable[[bytes], In] = decoder.decode
        self._queue: trio.MemorySendChannel[Out]
        self._waiting: trio.MemoryReceiveChannel[Out]
        self._queue, self._waiting = trio.open_memory_channel(QUEUE)
        self._buffer = bytearray()

    def post(self, message: Out) -> None:
        """Send a message soon. Raises Congested."""
        try:
            self._queue.send_nowait(message)
        except (trio.WouldBlock, trio.BrokenResourceError):
            raise Congested("it takes no messages") from None

    async def send(self, message: Out) -> None:
        """Send a message soon, once there is room for it; who is gone hears nothing. Cancelling is safe."""
        with suppress(trio.BrokenResourceError):
            await self._queue.send(message)

    async def pump(self) -> None:
        """Send what was posted, until cancelled or the other side is gone. A task of whoever owns the channel."""
        with self._waiting:
            async for message in self._waiting:
                data = self._encode(message)
                try:
                    await self._stream.send_all(_LENGTH.pack(len(data)) + data)
                except trio.BrokenResourceError:
                    return

    async def receive(self) -> In | None:
        """Return the next message, None when the other side is gone. Raises msgspec.DecodeError for what is none."""
        head = await self._exactly(_LENGTH.size)
        if head is None:
            return None
        (length,) = _LENGTH.unpack(head)
        if length > MAX_MESSAGE:
            raise msgspec.DecodeError(f"a message of {length} bytes")
        data = await self._exactly(length)
        return None if data is None else self._decode(data)

    async def _exactly(self, size: int) -> bytes | None:
        """Read so many bytes; None when the other side is gone before. Cancelling is safe."""
        buffer = self._buffer
        while len(buffer) < size:
            try:
                data = await self._stream.receive_some(max(65536, size - len(buffer)))
            except trio.BrokenResourceError:
                return None
            if not data:
                return None
            buffer += data
        found = bytes(buffer[:size])
        del buffer[:size]
        return found

    async def aclose(self) -> None:
        """Close it at once."""
        await trio.aclose_forcefully(self._stream)


def worker_end(sock: socket.socket) -> Channel[ToSupervisor, ToWorker]:
    """Return a worker's end."""
    return Channel(sock, msgspec.msgpack.Decoder(ToWorker))


def supervisor_end(sock: socket.socket) -> Channel[ToWorker, ToSupervisor]:
    """Return the supervisor's end."""
    return Channel(sock, msgspec.msgpack.Decoder(ToSupervisor))
