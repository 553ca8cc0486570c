"""The PROXY header: what is read, what is refused, and that what is written is read again."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namer.addr import Endpoint, show_address
from nodeagent.proxy.proxyheader import MAX_V1, ProxyHeader, ProxyHeaderError, Version, parse, render, render_local

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")


def v2(command: int, family: int, rest: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest) if length is None else length) + rest


IPV4 = bytes([192, 0, 2, 7, 10, 0, 0, 1]) + struct.pack("!HH", 56324, 443)
IPV6 = ipaddress.ip_address("2001:db8::7").packed + ipaddress.ip_address("::1").packed + struct.pack("!HH", 1, 2)
UNIX = b"/run/caller.sock".ljust(108, b"\x00") + b"/run/app.sock".ljust(108, b"\x00")


@pytest.mark.parametrize(
    ("header", "source"),
    [
        pytest.param(b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n", "192.0.2.7:56324", id="IPv4"),
        pytest.param(b"PROXY TCP6 2001:db8::7 ::1 56324 443\r\n", "[2001:db8::7]:56324", id="IPv6"),
        pytest.param(b"PROXY TCP6 2001:DB8:0::7 ::1 0 65535\r\n", "[2001:db8::7]:0", id="IPv6, another spelling"),
        pytest.param(b"PROXY UNKNOWN\r\n", None, id="unknown"),
        pytest.param(b"PROXY UNKNOWN ffff::1 whatever\r\n", None, id="unknown, and what is to be ignored"),
        pytest.param(b"PROXY TCP6 " + b"f" * 4 + b":ffff" * 7 + b" ::1 1 2\r\n", f"[{'ffff:' * 7}ffff]:1", id="long"),
        pytest.param(v2(0x21, 0x11, IPV4), "192.0.2.7:56324", id="2: IPv4"),
        pytest.param(v2(0x21, 0x11, IPV4 + b"\x04\x00\x02no"), "192.0.2.7:56324", id="2: with a TLV"),
        pytest.param(v2(0x21, 0x21, IPV6), "[2001:db8::7]:1", id="2: IPv6"),
        pytest.param(v2(0x21, 0x31, UNIX), "unix:/run/caller.sock", id="2: a Unix socket"),
        pytest.param(v2(0x21, 0x31, bytes(216)), "unix", id="2: a Unix socket without a path"),
        pytest.param(v2(0x21, 0x31, b"\x00abstract".ljust(216, b"\x00")), "unix", id="2: an abstract one"),
        pytest.param(v2(0x21, 0x31, b"/a\nb".ljust(216, b"\x00")), "unix", id="2: one that is not to be shown"),
        pytest.param(v2(0x21, 0x00, b""), None, id="2: unknown"),
        pytest.param(v2(0x20, 0x00, b""), None, id="2: the proxy itself"),
        pytest.param(v2(0x20, 0x11, IPV4), None, id="2: the proxy itself, its addresses are ignored"),
    ],
)
def test_what_is_read(header: bytes, source: str | None) -> None:
    """However it comes in, and whatever follows."""
    for size in range(len(header)):
        assert parse(header[:size]) is None
    for behind in (b"", b"GET / HTTP/1.1\r\n", header):
        assert parse(header + behind) == ProxyHeader(len(header), source)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n", "no PROXY header", id="HTTP"),
        pytest.param(b"\x16\x03\x01", "no PROXY header", id="TLS"),
        pytest.param(b"proxy TCP4", "no PROXY header", id="lower case"),
        pytest.param(b"PROXY  TCP4 1.1.1.1 1.1.1.1 1 2\r\n", "not of the form", id="two spaces"),
        pytest.param(b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", "not of the form", id="a field less"),
        pytest.param(b"PROXY TCP4 1.1.1.1 1.1.1.1 1 2 3\r\n", "not of the form", id="a field more"),
        pytest.param(b"PROXY UDP4 1.1.1.1 1.1.1.1 1 2\r\n", "not of the form", id="no stream"),
        pytest.param(b"PROXY TCP4 1.1.1.1 1.1.1.1 1 2\n", "does not end with CRLF", id="a bare LF"),
        pytest.param(b"PROXY \n", "does not end with CRLF", id="nothing"),
        pytest.param(b"PROXY TCP4 1.1.1.256 1.1.1.1 1 2\r\n", "an address is none of TCP4", id="no IPv4 address"),
        pytest.param(b"PROXY TCP4 01.1.1.1 1.1.1.1 1 2\r\n", "an address is none of TCP4", id="a leading zero"),
        pytest.param(b"PROXY TCP4 ::1 ::1 1 2\r\n", "an address is none of TCP4", id="the other family"),
        pytest.param(b"PROXY TCP6 1.1.1.1 ::1 1 2\r\n", "an address is none of TCP6", id="the other family, of IPv6"),
        pytest.param(b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "an address has a zone", id="a zone"),
        pytest.param("PROXY TCP4 1.1.1.١ 1.1.1.1 1 2\r\n".encode(), "an address is none of", id="no ASCII"),
        pytest.param(b"PROXY TCP4 1.1.1.1 1.1.1.1 65536 2\r\n", "a port is no number", id="a large port"),
        pytest.param(b"PROXY TCP4 1.1.1.1 1.1.1.1 1 02\r\n", "a port is no number", id="a port with a leading zero"),
        pytest.param(b"PROXY TCP4 1.1.1.1 1.1.1.1 -1 2\r\n", "a port is no number", id="a negative port"),
        pytest.param(b"PROXY UNKNOWN".ljust(MAX_V1, b"x"), "longer than 107 bytes", id="a long line"),
        pytest.param(b"PROXY UNKNOWN".ljust(MAX_V1 - 1, b"x") + b"\r\n", "longer than 107 bytes", id="one byte longer"),
        pytest.param(SIGNATURE + b"\x11", "version or command", id="2: another version"),
        pytest.param(SIGNATURE + b"\x22", "version or command", id="2: another command"),
        pytest.param(v2(0x21, 0x12, IPV4), "not those of a stream", id="2: datagrams"),
        pytest.param(v2(0x21, 0x41, IPV4), "not those of a stream", id="2: another family"),
        pytest.param(v2(0x21, 0x11, IPV4[:-1]), "too short for its addresses", id="2: short"),
        pytest.param(v2(0x21, 0x21, IPV4), "too short for its addresses", id="2: the wrong family"),
        pytest.param(v2(0x21, 0x11, b"", 4097), "more than 4096", id="2: long"),
        pytest.param(v2(0x21, 0x11, IPV4 + b"\x04\x00"), "cut off", id="2: half a TLV"),
        pytest.param(v2(0x21, 0x11, IPV4 + b"\x04\x00\x03no"), "cut off", id="2: a TLV longer than the header"),
    ],
)
def test_what_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ProxyHeaderError, match=why):
        parse(data)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda rest: SIGNATURE + rest))
def test_anything_else_is_neither_believed_nor_a_crash(data: bytes) -> None:
    try:
        header = parse(data)
    except ProxyHeaderError:
        return
    assert header is None or 0 < header.size <= len(data)


ADDRESSES = st.ip_addresses(v=4) | st.integers(1 << 64, (1 << 128) - 1).map(ipaddress.IPv6Address)
PORTS = st.integers(0, 65535)


@given(ADDRESSES, PORTS, ADDRESSES, PORTS, st.sampled_from(["v1", "v2"]))
def test_what_is_written_is_read_again(
    source: ipaddress.IPv4Address | ipaddress.IPv6Address,
    port: int,
    host: ipaddress.IPv4Address | ipaddress.IPv6Address,
    to: int,
    version: Version,
) -> None:
    peer = show_address(str(source), port)
    header = render(version, peer, Endpoint(str(host), to))
    read = parse(header)

    assert read is not None
    assert read.size == len(header)
    assert version == "v2" or len(header) <= MAX_V1
    if source.version == host.version or source.version == 6:
        assert read.source == peer
    else:
        assert read.source == show_address(str(ipaddress.IPv6Address(f"::ffff:{source}")), port)


@pytest.mark.parametrize(
    ("version", "peer", "endpoint", "header"),
    [
        pytest.param(
            "v1",
            "192.0.2.7:56324",
            Endpoint("10.0.0.1", 443),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n",
            id="IPv4",
        ),
        pytest.param("v1", "[::1]:1", Endpoint("::2", 2), b"PROXY TCP6 ::1 ::2 1 2\r\n", id="IPv6"),
        pytest.param("v1", "[fe80::1%eth0]:1", Endpoint("::2", 2), b"PROXY TCP6 fe80::1 ::2 1 2\r\n", id="a zone"),
        pytest.param("v1", "10.0.0.1:1", Endpoint("/a", 0), b"PROXY TCP4 10.0.0.1 0.0.0.0 1 0\r\n", id="to a socket"),
        pytest.param("v1", "unix", Endpoint("10.0.0.1", 443), b"PROXY UNKNOWN\r\n", id="from a socket"),
        pytest.param("v1", "unknown", Endpoint("10.0.0.1", 443), b"PROXY UNKNOWN\r\n", id="from nobody knows where"),
        pytest.param("v2", "192.0.2.7:56324", Endpoint("10.0.0.1", 443), v2(0x21, 0x11, IPV4), id="2: IPv4"),
        pytest.param(
            "v2", "unix:/run/caller.sock", Endpoint("/run/app.sock", 0), v2(0x21, 0x31, UNIX), id="2: sockets"
        ),
        pytest.param("v2", "unix", Endpoint("10.0.0.1", 443), v2(0x21, 0x31, bytes(216)), id="2: from a socket"),
        pytest.param("v2", "", Endpoint("10.0.0.1", 443), v2(0x21, 0x00, b""), id="2: from nobody knows where"),
    ],
)
def test_what_is_written(version: Version, peer: str, endpoint: Endpoint, header: bytes) -> None:
    assert render(version, peer, endpoint) == header


def test_what_the_agent_says_of_itself() -> None:
    assert render_local("v1") == b"PROXY UNKNOWN\r\n"
    assert render_local("v2") == v2(0x20, 0x00, b"")
