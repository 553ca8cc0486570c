"""The PROXY protocol, versions 1 and 2: a header before all else that says who is at the other end. Pure.

Source: haproxy.org, proxy-protocol.txt. The reader is strict, for what is told here is believed: an address must be
written as the specification has it, and what is not a header, or not one for a stream, is an error at the first byte
that shows it.

Written, the source is who called the agent. The destination is the endpoint: what the caller would have connected to,
were there no agent.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from namer.addr import Endpoint, show_address

Version: TypeAlias = Literal["v1", "v2"]

MAX_V1: Final = 107
"""Bytes of a header of version 1, with its CRLF."""

MAX_V2: Final = 4096
"""Bytes behind the first 16 of version 2: addresses take 216 at most, and the rest is what others add (TLVs)."""

_V1: Final = b"PROXY "
_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED: Final = 16
_LOCAL, _PROXY = 0x20, 0x21  # version 2, and the command
_UNSPEC, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_SIZES: Final = {_UNSPEC: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}
_PATH: Final = 108
_PORT: Final = re.compile(rb"0|[1-9][0-9]{0,4}")

_IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class ProxyHeaderError(ValueError):
    """The bytes are no header; the text says why."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A whole header: its size in bytes, and who calls, as "ip:port" or "unix:PATH"; None when the peer itself does."""

    size: int
    source: str | None


def parse(data: bytes) -> ProxyHeader | None:
    """Read the header that `data` begins with; None while it is not whole. Raises ProxyHeaderError."""
    if data.startswith(_V2):
        return _parse_v2(data)
    if data.startswith(_V1):
        return _parse_v1(data)
    if _V2.startswith(data) or _V1.startswith(data):
        return None
    raise ProxyHeaderError("what came is no PROXY header")


def render(version: Version, peer: str, endpoint: Endpoint) -> bytes:
    """Write the header that tells `endpoint` that `peer` calls, as `ProxyHeader.source` has it, or any other text for
    somebody who is not known.
    """
    if peer == "unix" or peer.startswith("unix:"):
        return b"PROXY UNKNOWN\r\n" if version == "v1" else _unix(peer.removeprefix("unix").removeprefix(":"), endpoint)
    host, _, port = peer.rpartition(":")
    try:
        source = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return b"PROXY UNKNOWN\r\n" if version == "v1" else _v2(_PROXY, _UNSPEC, b"")
    source, destination = _of_one_family(source, endpoint)
    ports = int(port), endpoint.port
    if version == "v1":
        return b"PROXY TCP%d %b %b %d %d\r\n" % (
            source.version,
            str(source).encode(),
            str(destination).encode(),
            *ports,
        )
    family = _TCP4 if source.version == 4 else _TCP6
    return _v2(_PROXY, family, source.packed + destination.packed + struct.pack("!HH", *ports))


def render_local(version: Version) -> bytes:
    """Write the header of a connection that the agent makes for itself."""
    return b"PROXY UNKNOWN\r\n" if version == "v1" else _v2(_LOCAL, _UNSPEC, b"")


def _parse_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1:
            raise ProxyHeaderError(f"its line is longer than {MAX_V1} bytes")
        return None
    line = data[:end]
    if not line.endswith(b"\r"):
        raise ProxyHeaderError("its line does not end with CRLF")
    fields = line[:-1].split(b" ")
    if fields[1] == b"UNKNOWN":  # whatever follows is to be ignored
        return ProxyHeader(end + 1, None)
    match fields:
        case [_, b"TCP4" | b"TCP6" as family, source, destination, source_port, destination_port]:
            kind = ipaddress.IPv4Address if family == b"TCP4" else ipaddress.IPv6Address
            try:
                host = str(kind(source.decode("ascii")))
                kind(destination.decode("ascii"))
            except ValueError:
                raise ProxyHeaderError(f"an address is none of {family.decode()}") from None
            if b"%" in source + destination:
                raise ProxyHeaderError("an address has a zone")
            port = _port(source_port)
            _port(destination_port)
            return ProxyHeader(end + 1, show_address(host, port))
    raise ProxyHeaderError("its line is not of the form: PROXY TCP4 SOURCE DESTINATION PORT PORT")


def _port(text: bytes) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ProxyHeaderError("a port is no number from 0 to 65535")
    return int(text)


def _parse_v2(data: bytes) -> ProxyHeader | None:
    command = data[12:13]
    if command and command[0] not in (_LOCAL, _PROXY):
        raise ProxyHeaderError("its version or command is not known")
    if len(data) < _FIXED:
        return None
    family, length = struct.unpack_from("!BH", data, 13)
    if length > MAX_V2:
        raise ProxyHeaderError(f"it has {length} bytes, more than {MAX_V2}")
    if command[0] == _PROXY and family not in _SIZES:
        raise ProxyHeaderError("its addresses are not those of a stream")
    if command[0] == _PROXY and length < _SIZES[family]:
        raise ProxyHeaderError("it is too short for its addresses")
    size = _FIXED + length
    if len(data) < size:
        return None
    if command[0] == _LOCAL:
        return ProxyHeader(size, None)
    addresses = data[_FIXED : _FIXED + _SIZES[family]]
    _check_tlvs(data[_FIXED + _SIZES[family] : size])
    return ProxyHeader(size, _source(family, addresses))


def _source(family: int, addresses: bytes) -> str | None:
    match family:
        case 0x11:
            host: _IP = ipaddress.IPv4Address(addresses[:4])
        case 0x21:
            host = ipaddress.IPv6Address(addresses[:16])
        case 0x31:
            path = addresses[:_PATH].partition(b"\x00")[0]  # an abstract name begins with NUL, and is nothing to show
            text = path.decode("utf-8", "backslashreplace")
            return f"unix:{text}" if text.startswith("/") and text.isprintable() else "unix"
        case _:
            return None
    return show_address(str(host), struct.unpack_from("!H", addresses, len(addresses) - 4)[0])


def _check_tlvs(rest: bytes) -> None:
    """What others add is not used, but must be whole: else the length is wrong, and so is what follows the header."""
    at = 0
    while at < len(rest):
        if at + 3 > len(rest):
            raise ProxyHeaderError("what is behind its addresses is cut off")
        at += 3 + int.from_bytes(rest[at + 1 : at + 3])
    if at > len(rest):
        raise ProxyHeaderError("what is behind its addresses is cut off")


def _of_one_family(source: _IP, endpoint: Endpoint) -> tuple[_IP, _IP]:
    """Both addresses as IPv4, or else both as IPv6. A Unix socket is the unspecified address."""
    if endpoint.is_unix:
        return source, type(source)(0)
    destination = ipaddress.ip_address(endpoint.host.partition("%")[0])
    if source.version == destination.version:
        return source, destination
    return _as_ipv6(source), _as_ipv6(destination)


def _as_ipv6(address: _IP) -> ipaddress.IPv6Address:
    if isinstance(address, ipaddress.IPv6Address):
        return address
    return ipaddress.IPv6Address(b"\x00" * 10 + b"\xff\xff" + address.packed)  # RFC 4291, 2.5.5.2


def _unix(path: str, endpoint: Endpoint) -> bytes:
    own = endpoint.host if endpoint.is_unix else ""
    paths = (each.encode("utf-8", "surrogateescape").ljust(_PATH, b"\x00") for each in (path, own))
    return _v2(_PROXY, _UNIX, b"".join(paths))


def _v2(command: int, family: int, addresses: bytes) -> bytes:
    return _V2 + struct.pack("!BBH", command, family, len(addresses)) + addresses
