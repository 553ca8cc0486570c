"""IP addresses in all the forms in which programs take them, and the IPv4 address that an IPv6 one may stand for. Pure.

Whoever judges an address must read it as the kernel and the C library do: `127.1`, `2130706433`, `0x7f.1` and
`::ffff:127.0.0.1` all lead to 127.0.0.1.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_PART: Final = re.compile(r"0[xX][0-9A-Fa-f]*|[0-9]+")
_LONGEST_PART: Final = 24  # characters; what is longer is no number below 2**32 in any base that anybody writes
_LAST_32_BITS: Final = tuple(
    IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible (RFC 4291, 2.5.5.1)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
        "64:ff9b:1::/48",  # NAT64 of a site (RFC 8215), in its usual form
    )
)
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")  # RFC 3056


def read_address(text: str) -> Address | None:
    """The address that `text` writes down, without brackets; None when it is a name.

    IPv4 in each of the forms of inet_aton(3), with or without a dot at the end. An IPv4-mapped IPv6 address
    (RFC 4291, 2.5.5.2) is the IPv4 address, because that is what the kernel connects to.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return _inet_aton(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """The IPv4 address to which packets for an IPv6 address may be translated; None when there is none."""
    if isinstance(address, IPv4Address) or int(address) <= 1:  # :: and ::1 are no IPv4-compatible addresses
        return None
    if address in _SIX_TO_FOUR:
        return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    if any(address in network for network in _LAST_32_BITS):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _inet_aton(text: str) -> IPv4Address | None:
    """One to four numbers, decimal, octal or hexadecimal: the last one fills what the others leave."""
    parts = text.removesuffix(".").split(".")
    numbers = [_number(part) for part in parts]
    if len(parts) > 4 or None in numbers:
        return None
    *first, last = [number for number in numbers if number is not None]
    room = 8 * (4 - len(first))
    if last >= 1 << room or any(number > 255 for number in first):
        return None
    return IPv4Address(sum(number << 24 - 8 * at for at, number in enumerate(first)) + last)


def _number(part: str) -> int | None:
    if len(part) > _LONGEST_PART or not part.isascii() or not _PART.fullmatch(part):
        return None
    try:
        if part[:2].lower() == "0x":
            return int(part[2:] or "0", 16)
        return int(part, 8) if part[0] == "0" else int(part)
    except ValueError:  # 08 is no octal number
        return None
