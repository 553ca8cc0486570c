"""/etc/hosts: `address name alias ...`, one host a line (hosts(5)). Pure.

And `localhost`, which is this host whatever file or server says otherwise (RFC 6761, section 6.3).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final, TypeAlias

HostsFile: TypeAlias = Mapping[str, tuple[str, ...]]
"""Addresses by host, in small letters and without a dot at the end."""

LOOPBACK: Final = ("127.0.0.1", "::1")


def parse_hosts(text: str) -> HostsFile:
    """What the file says; a line whose address is none says nothing."""
    found: dict[str, list[str]] = {}
    addresses: dict[str, str | None] = {}
    for line in text.splitlines():
        written, *names = line.partition("#")[0].split() or [""]
        if written not in addresses:
            addresses[written] = _address(written)
        address = addresses[written]
        if address is not None:
            for name in names:
                found.setdefault(name.rstrip(".").lower(), []).append(address)
    return {name: tuple(dict.fromkeys(listed)) for name, listed in found.items()}


def is_localhost(host: str) -> bool:
    """Whether it is `localhost` or a name below it."""
    bare = host.rstrip(".").lower()
    return bare == "localhost" or bare.endswith(".localhost")


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
