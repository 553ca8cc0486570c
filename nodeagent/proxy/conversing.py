"""What a server asks of whatever serves its connections: HTTP (conversation.py), or bytes (tcp.py)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Protocol

from nodeagent.proxy.caller import Caller
from nodeagent.proxy.errors import ProxyError
from nodeagent.proxy.fairness import Account
from nodeagent.proxy.wire import Wire

if TYPE_CHECKING:
    from nodeagent.proxy.server import Server


class Conversing(Protocol):
    """One connection, as its server sees it. `deadline` and `opened_at` are in trio's clock."""

    deadline: float
    """When `expire` is to be called."""
    opened_at: float
    account: Account
    """Whose it is."""

    def idle_since(self) -> float:
        """Return since when nothing has been under way; infinity when something is."""
        ...

    async def run(self) -> None:
        """Serve until either side ends it. Never raises; cancelling closes it."""
        ...

    def expire(self) -> None:
        """Hear that the deadline has passed."""
        ...

    def finish(self) -> None:
        """Take on nothing new, and end when what is under way has."""
        ...

    def save_memory(self) -> None:
        """Keep nothing that is kept for a repeat."""
        ...


class Converse(Protocol):
    """Makes what serves a connection."""

    def __call__(self, wire: Wire, peer: str, server: Server, account: Account, caller: Caller, /) -> Conversing:
        """Serve `wire`, on which `peer` calls, whose account that is; `caller` is what rules know of it."""
        ...

    def turn_away(self, sock: socket.socket, server: Server, why: ProxyError, /) -> None:
        """Say, where the protocol has words for it, why an accepted connection is closed next. Never waits."""
        ...
