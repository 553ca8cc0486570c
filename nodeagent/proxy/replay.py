"""Request bodies that can be sent again, within a bounded buffer."""

from __future__ import annotations

from collections.abc import Callable

from nodeagent.proxy.frugal import FRUGAL
from nodeagent.proxy.messages import Body
from nodeagent.proxy.wire import Wire


class ReplayBody:
    """A body of known length that keeps what was read of it, so that `rewind` can start over.

    What exceeds FRUGAL.replay passes through unkept; it cannot be rewound then. A chunked body is never replayed
    (linkerd 1.x), and is not wrapped.
    """

    __slots__ = ("_at", "_begun", "_body", "_kept", "_lost", "length", "trailers")

    def __init__(self, body: Body) -> None:
        self._body = body
        self._kept: list[bytes] = []
        self._at = 0
        self._begun = False
        self._lost = body.length is None or body.length > FRUGAL.replay
        self.length = body.length
        self.trailers = body.trailers

    async def read(self) -> bytes:
        """Return the next piece: a kept one after `rewind`, else a new one. As `Body.read`."""
        if self._at < len(self._kept):
            self._at += 1
            return self._kept[self._at - 1]
        piece = await self._body.read()
        self._begun = True
        if not self._lost:
            self._kept.append(piece)
            self._at += 1
        return piece

    async def pour(self, sink: Wire, moved: Callable[[int], None]) -> None:
        """As `Body.pour`, of what would not be kept."""
        if self._lost and self._at == len(self._kept):
            await self._body.pour(sink, moved)

    @property
    def replayable(self) -> bool:
        """Whether `rewind` could bring everything back, however much of it is read before."""
        return not self._lost

    @property
    def restartable(self) -> bool:
        """Whether it can be sent from its beginning now: nothing was read of it, or all of that is kept."""
        return not (self._lost and self._begun)

    def forget(self) -> None:
        """Keep nothing any more, because memory is short; what is being read again is still read to its end."""
        if self._at == len(self._kept):
            self._kept.clear()
            self._at = 0
        self._lost = True

    def rewind(self) -> None:
        """Start over with the first byte; it must be restartable."""
        assert self.restartable, "a body that was begun and not kept cannot be sent again"
        self._at = 0

    def close(self) -> None:
        self._body.close()
