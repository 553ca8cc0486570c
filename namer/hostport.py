"""`/$/io.buoyant.hostportPfx/PFX/HOST:PORT` and `porthostPfx`: a host with a port becomes two labels.

As linkerd 1.x does it: exactly one colon, and what follows is a lower-case DNS label (RFC 1123), which may be
a port number. An IPv6 literal in brackets is understood too: `[::1]:8080`.
"""

from __future__ import annotations

import re

from namer.path import Path

_HOST_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^:\[\]]+)):([a-z0-9][a-z0-9-]{0,62})")


def hostport_pfx(path: Path) -> Path | None:
    """`/pfx/host:port/rest` to `/pfx/host/port/rest`."""
    match _split(path):
        case (host, port):
            return Path((path[0], host, port)) + path[2:]
    return None


def porthost_pfx(path: Path) -> Path | None:
    """`/pfx/host:port/rest` to `/pfx/port/host/rest`."""
    match _split(path):
        case (host, port):
            return Path((path[0], port, host)) + path[2:]
    return None


def _split(path: Path) -> tuple[str, str] | None:
    found = _HOST_PORT.fullmatch(path[1]) if len(path) >= 2 else None
    return (found[1] or found[2], found[3]) if found else None
