"""Waits for the PROXY header of a connection that comes through a load balancer. An edge."""

from __future__ import annotations

import trio

from nodeagent.proxy.proxyheader import ProxyHeaderError, parse
from nodeagent.proxy.wire import CLOSED, Wire


async def read_proxy_header(wire: Wire, peer: str, within: float) -> str:
    """Read the header that a connection must begin with, and return who calls: `peer` itself if the header says so.

    What follows the header stays in the buffer. Raises ProxyHeaderError when what comes is none, or does not come
    within `within` seconds. Cancelling is safe.
    """
    with trio.move_on_after(within):
        while (header := parse(wire.buffer)) is None:
            try:
                data = await wire.receive()
            except CLOSED as error:
                raise ProxyHeaderError(f"the connection broke ({error})") from None
            if not data:
                raise ProxyHeaderError("the connection ended before it was whole")
            wire.buffer += data
        wire.buffer = wire.buffer[header.size :]
        return header.source or peer
    raise ProxyHeaderError(f"it did not come within {within:g} s")
