"""The options of a listener that change heads, from configuration.

Labels of `Forwarded` are those of RFC 7239, section 6: an address, or an obfuscated name that begins with "_".
"""

from __future__ import annotations

import random
from hashlib import blake2b

from conf import server as conf
from nodeagent.proxy.edge import Edge, Label

UNIX = "_unix"
"""Names whoever calls on a Unix socket, and the agent there."""

RANDOM_BYTES = 6
"""Of an obfuscated name: enough to tell connections apart for as long as logs are kept."""


def make_edge(config: conf.Server | conf.TcpServer, router: str, own: str, rng: random.Random) -> Edge | None:
    """Return what a listener changes in heads, None when nothing. `own` is its address as "ip:port"."""
    if isinstance(config, conf.TcpServer):
        return None
    forwarded = config.add_forwarded_header
    trusted = config.trusts_dtabs
    if forwarded is None and not config.clear_context and config.timestamp_header is None and trusted:
        return None
    return Edge(
        config.clear_context,
        trusted,
        None if forwarded is None else _label(forwarded.by, router, own, rng),
        None if forwarded is None else _label(forwarded.for_, router, None, rng),
        config.timestamp_header,
    )


def _label(config: conf.AnyLabeler, router: str, own: str | None, rng: random.Random) -> Label:
    """Return what names one end; `own` is the listener's address, None for the caller's end."""
    match config:
        case conf.IpLabeler():
            return lambda request, opened_at: node((own or request.peer).rpartition(":")[0] or UNIX)  # noqa: ARG005
        case conf.IpPortLabeler():
            return lambda request, opened_at: node(own or request.peer)  # noqa: ARG005
        case conf.RequestRandomLabeler():
            return lambda request, opened_at: b"_" + rng.randbytes(RANDOM_BYTES).hex().encode()  # noqa: ARG005
        case conf.ConnectionRandomLabeler():
            key = rng.randbytes(16)
            return lambda request, opened_at: b"_" + _digest(key, request.peer, opened_at)
        case conf.RouterLabeler():
            return lambda request, opened_at: f"_{router}".encode()  # noqa: ARG005
        case conf.StaticLabeler(label):
            return lambda request, opened_at: f"_{label}".encode()  # noqa: ARG005


def node(address: str) -> bytes:
    """Write an address as a node identifier: quoted when it holds a colon (RFC 7239, 4 and 6).

    A Unix socket, of which RFC 7239 knows nothing, is an obfuscated name.
    """
    if address.startswith(UNIX[1:]):
        return UNIX.encode()
    return f'"{address}"'.encode() if ":" in address else address.encode()


def _digest(key: bytes, peer: str, opened_at: float) -> bytes:
    """A name for a connection that does not tell who it is."""
    return blake2b(f"{peer} {opened_at}".encode(), key=key, digest_size=RANDOM_BYTES).hexdigest().encode()
