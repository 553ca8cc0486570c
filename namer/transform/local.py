"""Which addresses are this host's. An edge module: it asks the kernel."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

ANY_PORT: Final = 1
"""For an address of which only the host counts."""


def is_local(host: str) -> bool:
    """Whether an IP address is one of this host's.

    The kernel would talk to an own address from that same address. Finding out sends nothing, and needs no list of
    interfaces, which an address may join at any time.
    """
    address = ipaddress.ip_address(host)
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, ANY_PORT))
            return ipaddress.ip_address(probe.getsockname()[0]) == address
    except OSError:  # no way there, so it is not here
        return False
