"""Who may ask on the admin port's Unix socket: whom the kernel says he is. An edge."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from typing import Final

import trio

_CREDENTIALS: Final = struct.Struct("3i")
"""pid, uid and gid, as SO_PEERCRED gives them; see unix(7)."""


class Peers:
    """The user ids that may ask: root, the agent's own, and those of the configuration."""

    def __init__(self, others: Iterable[int] = ()) -> None:
        self._uids = frozenset({0, os.geteuid(), *others})

    def refusal(self, sock: trio.socket.SocketType) -> str | None:
        """Why the process at the other end of a connected Unix socket is not answered, or None."""
        _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        return None if uid in self._uids else f"user id {uid} may not ask here; admin.allowUids says who may"
