"""HTTP/1.1 for the demo's services and callers: one message at a time, over h11. An edge module."""

from __future__ import annotations

import h11
import trio

CHUNK = 64 * 1024

# What may end a conversation at any moment: the peer goes away, or does not speak HTTP.
DISCONNECTED = (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError)


async def read_message(connection: h11.Connection, stream: trio.abc.Stream) -> h11.Request | h11.Response | None:
    """Read one whole message and return its head; None when the peer closed instead. Its body is dropped.

    Raises one of DISCONNECTED. After a cancellation the connection is of no use any more.
    """
    head: h11.Request | h11.Response | None = None
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(CHUNK)))
            case h11.Request() | h11.Response() as received:
                head = received
            case h11.EndOfMessage():
                return head
            case h11.ConnectionClosed() | h11.PAUSED:
                return None
            case _:  # a part of the body, or a 1xx
                pass


def render(connection: h11.Connection, head: h11.Request | h11.Response, body: bytes = b"") -> bytes:
    """Return a whole message in bytes. A body goes only where `head` has a matching Content-Length."""
    events: list[h11.Event] = [head, *([h11.Data(data=body)] if body else []), h11.EndOfMessage()]
    return b"".join(connection.send(event) or b"" for event in events)
