"""Moves bulk from one plain connection to another inside the kernel (splice(2)). An edge.

A piece goes from the one socket into a pipe, and from there into the other, and is never copied into the process: less
than half of the cost of `recv` and `send`. Sockets cannot be spliced without a pipe between. A pipe is borrowed for as
long as something is in it, so idle connections have none. One that was not emptied is closed: what is in it belongs to
one exchange alone.
Precedent: HAProxy's `option splice-auto`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from typing import Final

from trio import lowlevel

from nodeagent.proxy.frugal import FRUGAL, PIECE
from nodeagent.proxy.wire import Wire

BULK: Final = 64 * 1024
"""Bytes that came at once from which there is probably more to come soon."""

PIPE: Final = 256 * 1024
"""Bytes that a pipe holds: larger ones are hardly faster."""

MAX_PIPES: Final = 64
"""Pipes in use at once, each of two descriptors; who gets none copies."""

MAX_SPARE: Final = 16

_FLAGS: Final = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class SourceBroken(OSError):
    """Reading failed, and not writing."""


class Pipe:
    """A pipe with `level` bytes in it."""

    __slots__ = ("inlet", "level", "outlet", "size")

    def __init__(self) -> None:
        """Raises OSError when there is no descriptor left."""
        self.outlet, self.inlet = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self.size = fcntl.fcntl(self.inlet, fcntl.F_SETPIPE_SZ, PIPE)
        except OSError:  # beyond what this user may have
            self.size = fcntl.fcntl(self.inlet, fcntl.F_GETPIPE_SZ)
        self.level = 0

    def close(self) -> None:
        """Give the descriptors back, and throw away what is left."""
        os.close(self.inlet)
        os.close(self.outlet)


class Pipes:
    """Lends pipes; empty ones are kept for the next."""

    def __init__(self) -> None:
        self.spare: list[Pipe] = []
        self.lent = 0

    def borrow(self) -> Pipe | None:
        """Return an empty pipe for `give_back`, or None when there is no room for one."""
        if self.lent >= MAX_PIPES or FRUGAL.piece < PIECE:  # what is in a pipe counts as the agent's memory
            return None
        try:
            pipe = self.spare.pop() if self.spare else Pipe()
        except OSError:
            return None
        self.lent += 1
        return pipe

    def give_back(self, pipe: Pipe) -> None:
        """Take a pipe back."""
        self.lent -= 1
        if pipe.level or len(self.spare) >= MAX_SPARE:
            pipe.close()
        else:
            self.spare.append(pipe)


PIPES: Final = Pipes()
"""Those of this process."""


def can_splice(source: Wire, sink: Wire) -> bool:
    """Tell whether the bytes of both connections are those on the wire, and none is held back in the process."""
    return source.plain and sink.plain and not source.buffer


async def burst(source: Wire, sink: Wire, most: int | None, moved: Callable[[int], None]) -> int:
    """Move what is there to be read, at most `most` bytes; return how many bytes that were.

    It returns when there is nothing more to be read just now, at the end of `source`, and when there is no pipe to be
    had. `moved` hears of each piece. Cancelled, both connections are of no more use: close them. Raises SourceBroken,
    and OSError when `sink` broke.
    """
    pipe = PIPES.borrow()
    if pipe is None:
        return 0
    total = 0
    try:
        while _fill(pipe, source, pipe.size if most is None else min(pipe.size, most - total)):
            piece = pipe.level
            await _empty(pipe, sink)
            total += piece
            moved(piece)
            if total == most:  # no turn for others: an answer to the whole of it must not find it on its way still
                break
            await lowlevel.checkpoint()
        return total
    finally:
        PIPES.give_back(pipe)


def _fill(pipe: Pipe, source: Wire, size: int) -> bool:
    """Take what can be read; False when that is nothing."""
    try:
        pipe.level = os.splice(source.fd, pipe.inlet, size, flags=_FLAGS)
    except (BlockingIOError, InterruptedError):
        source.exhausted()
    except OSError as error:
        raise SourceBroken(*error.args) from None
    return pipe.level > 0


async def _empty(pipe: Pipe, sink: Wire) -> None:
    while pipe.level:
        try:
            pipe.level -= os.splice(pipe.outlet, sink.fd, pipe.level, flags=_FLAGS)
        except (BlockingIOError, InterruptedError):
            await lowlevel.wait_writable(sink.fd)
