"""Handshakes in memory."""

from __future__ import annotations

import ssl


def shake_hands(
    client: ssl.SSLContext, server: ssl.SSLContext, name: str | None = None
) -> tuple[bytes | None, bytes | None]:
    """Both sides of a handshake; returns the certificates that client and server have seen. Raises ssl.SSLError."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, server_side=True)]
    waiting = True
    for _ in range(10):
        waiting = False
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting = True
    assert not waiting
    return ends[0].getpeercert(binary_form=True), ends[1].getpeercert(binary_form=True)
