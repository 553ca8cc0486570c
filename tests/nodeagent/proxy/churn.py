"""A backend in a process of its own that closes idle connections at random, and some just as a request comes in.

`python -m tests.nodeagent.proxy.churn polite` prints its port, serves until its standard input ends, and then prints as
JSON what it did. A request is told by its path, which is its number. A polite one looks for a request before it closes,
as servers do that handle what has come before they handle timers; a `rude` one does not.
"""

from __future__ import annotations

import json
import random
import re
import selectors
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ID = re.compile(rb"[A-Z]+ /([0-9]+) ")

CLOSING = 0.2
"""Part of the answers after which the connection is closed soon."""

SOON = 0.003
"""Seconds within which it is closed: about as long as until the next request."""


@dataclass
class Churning:
    """What was served, and what was there unread or came too late when a connection was closed."""

    served: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    closed: int = 0
    polite: bool = True
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    _closing: dict[socket.socket, float] = field(default_factory=dict)
    _selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)

    def run(self, listener: socket.socket) -> None:
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select(0.0005):
                if key.fileobj is sys.stdin:
                    return
                if key.fileobj is listener:
                    self._selector.register(listener.accept()[0], selectors.EVENT_READ)
                else:
                    self._serve(key.fileobj)  # type: ignore[arg-type]
            now = time.monotonic()
            for sock in [sock for sock, at in self._closing.items() if at <= now]:
                self._close(sock)

    def _serve(self, sock: socket.socket) -> None:
        data = b""
        with suppress(OSError):
            data = sock.recv(65536)
        if not data:
            self._forget(sock)
            return
        self.served.append(number_of(data))
        with suppress(OSError):
            sock.sendall(OK)
        if self.rng.random() < CLOSING:
            self._closing[sock] = time.monotonic() + self.rng.random() * SOON

    def _close(self, sock: socket.socket) -> None:
        """End the connection, whatever is on its way, and note what that was."""
        sock.setblocking(False)
        with suppress(BlockingIOError):
            if self.polite and sock.recv(1, socket.MSG_PEEK):
                del self._closing[sock]
                sock.setblocking(True)
                return
        self.closed += 1
        with suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            if data := sock.recv(65536):
                self.taken.append(number_of(data))
        self._forget(sock)

    def _forget(self, sock: socket.socket) -> None:
        self._closing.pop(sock, None)
        self._selector.unregister(sock)
        sock.close()


def number_of(request: bytes) -> int:
    """Return the number that a request carries."""
    found = ID.match(request)
    assert found is not None, request
    return int(found[1])


def main() -> None:
    """Serve."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        print(listener.getsockname()[1], flush=True)
        churning = Churning(polite=sys.argv[1] == "polite")
        churning.run(listener)
    print(json.dumps({"served": churning.served, "taken": churning.taken, "closed": churning.closed}))


if __name__ == "__main__":
    main()
