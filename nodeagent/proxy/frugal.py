"""How many bytes one exchange may hold: a share of the memory that is left.

A process has one memory, so this is one for the process. Whoever watches the memory sets it; without a limit it stays
as it is. A piece is what is asked of the kernel at once, so the most that a connection holds of a body that streams;
with thousands of slow readers the pieces are the memory of the agent.
"""

from __future__ import annotations

from typing import Final

PIECE: Final = 128 * 1024
"""Bytes. Twice the 64 KiB that many programs write at once, so that such a write is read in one piece together with its
head."""
LEAST: Final = 4 * 1024
"""Bytes of the smallest piece: less would be all system calls."""
REPLAY: Final = 64 * 1024
"""Bytes of a request's body that are kept for another attempt; linkerd2-proxy keeps as many."""


class Frugality:
    """The sizes that hold now, in bytes."""

    __slots__ = ("piece", "replay")

    def __init__(self) -> None:
        self.piece = PIECE
        self.replay = REPLAY

    def share(self, room: float, requests: int) -> None:
        """Let each of `requests` hold its part of `room` bytes: a piece each way, and a copy to send again."""
        part = int(max(room, 0.0) / max(requests, 1) / 3)
        self.piece = max(LEAST, min(PIECE, part))
        self.replay = min(REPLAY, part)


FRUGAL: Final = Frugality()
"""What holds for this process."""
