"""The tunnels of a router: how many are open, and what went through them, those that are open included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Moving(Protocol):
    """What counts its own bytes while they move."""

    sent: int
    """From client to backend."""
    received: int
    """From backend to client."""


class TunnelStats:
    """Tunnels of one router. Bytes are counted by the tunnels themselves, and added up when somebody looks."""

    __slots__ = ("_ended_received", "_ended_sent", "_open", "_open_elsewhere", "router")

    def __init__(self, router: str, *, open_elsewhere: int = 0, sent: int = 0, received: int = 0) -> None:
        """Begin with what was told of another process: tunnels that are open there, and bytes that went through it."""
        self.router = router
        self._open: set[Moving] = set()
        self._open_elsewhere = open_elsewhere
        self._ended_sent = sent
        self._ended_received = received

    def absorb(self, other: TunnelStats) -> None:
        """Add the bytes of `other`. Its open tunnels stay its own."""
        self._ended_sent += other.sent
        self._ended_received += other.received

    def adopt_open(self, other: TunnelStats) -> None:
        """Count the open tunnels of `other`, too: for a sum that is shown once and thrown away."""
        self._open_elsewhere += other.open

    @contextmanager
    def counting(self, tunnel: Moving) -> Iterator[None]:
        """Count `tunnel` as open for the time of the block, and its bytes from then on."""
        self._open.add(tunnel)
        try:
            yield
        finally:
            self._open.discard(tunnel)
            self._ended_sent += tunnel.sent
            self._ended_received += tunnel.received

    @property
    def open(self) -> int:
        """Tunnels that are open."""
        return len(self._open) + self._open_elsewhere

    @property
    def sent(self) -> int:
        """Bytes from clients to backends."""
        return self._ended_sent + sum(tunnel.sent for tunnel in self._open)

    @property
    def received(self) -> int:
        """Bytes from backends to clients."""
        return self._ended_received + sum(tunnel.received for tunnel in self._open)
