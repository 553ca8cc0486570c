"""Bodies that make no progress: who is it that keeps an exchange waiting, and what is it told.

A body may take as long as it likes while something of it moves. Waiting for the head of a response is no body: that is
up to the limits on attempts and requests, so that long polls live.
"""

from __future__ import annotations

from collections.abc import Callable

from nodeagent.proxy.errors import BadRequest, DeadlineExceeded, ProxyError
from nodeagent.proxy.wire import Wire


class Stall:
    """Watches the bodies of one connection's exchanges; a request's comes through here, as from a `Source`."""

    __slots__ = ("_acknowledged", "_limit", "progress", "unread", "wire")

    def __init__(self, wire: Wire, limit: float, progress: Callable[[], None]) -> None:
        """`wire` is the caller's. `limit` seconds without progress are too many; `progress` is called for each."""
        self.wire = wire
        self._limit = limit
        self.progress = progress
        self._acknowledged = -1
        self.unread = wire.unread

    async def read(self) -> bytes:
        """Return what comes next of a request's body; as `Wire.read`."""
        data = await self.wire.read()
        self.progress()
        return data

    def is_over(self) -> bool:
        """Tell whether the caller has taken something since this was asked last: slowly, but it reads."""
        if not self.wire.unacknowledged():
            return False
        before, self._acknowledged = self._acknowledged, self.wire.acknowledged()
        return before != self._acknowledged

    def error(self, *, answered: bool) -> ProxyError:
        """Say who is at fault. `answered` tells whether the head of the response was sent."""
        for_long = f"for {self._limit:g} s"
        if answered and self.wire.unacknowledged():
            return BadRequest(f"the caller took nothing of the response {for_long}", status=408)
        if answered:
            return DeadlineExceeded(f"nothing of the response's body came {for_long}")
        if self.wire.is_awaited:
            return BadRequest(f"nothing of the request's body came {for_long}", status=408)
        return DeadlineExceeded(f"the backend took nothing of the request's body {for_long}")
