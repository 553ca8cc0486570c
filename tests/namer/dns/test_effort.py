"""What is too much to read, and that what is not is read in good time."""

import random
import struct
from collections.abc import Callable
from contextlib import suppress

import dns.message
import pytest
from dns.exception import DNSException
from hypothesis import given
from hypothesis import strategies as st

from namer.dns.effort import MAX_WORK, TooMuchWorkError, without_additional
from namer.dns.exchange import LITTLE_WORK
from tests.namer.dns.hostile import HOSTILE, WORST
from tests.namer.dns.server import response

QUERY = dns.message.make_query("web.example.", "A", id=0x1234).to_wire()
SERVICE = dns.message.make_query("_http._tcp.users.default.svc.cluster.local.", "SRV").to_wire()
SOA = "example. 900 IN SOA ns.example. root.example. 1 2 3 4 600"


def addresses(count: int) -> bytes:
    return response(QUERY, *(f"web.example. 60 IN A 10.0.{n >> 8}.{n & 255}" for n in range(count)))


def services(count: int) -> bytes:
    users = "users.default.svc.cluster.local."
    return response(SERVICE, *(f"_http._tcp.{users} 60 IN SRV 1 1 80 i{n}.{users}" for n in range(count)))


@pytest.mark.parametrize(
    ("message", "most"),
    [
        pytest.param(addresses(1), LITTLE_WORK, id="an address"),
        pytest.param(response(QUERY, code="NXDOMAIN", authority=[SOA]), LITTLE_WORK, id="no such name"),
        pytest.param(services(60), LITTLE_WORK, id="60 services"),
        pytest.param(services(1000), MAX_WORK, id="1000 services"),
        pytest.param(addresses(4090), MAX_WORK, id="as many addresses as fit into a message"),
    ],
)
def test_what_anybody_sends_is_not_too_much(message: bytes, most: int) -> None:
    needed, work = without_additional(message)

    assert needed == message
    assert 0 < work <= most


@pytest.mark.parametrize("message", HOSTILE.values(), ids=HOSTILE)
def test_what_is_too_much_is_refused(message: Callable[[bytes], bytes]) -> None:
    with pytest.raises(TooMuchWorkError, match="too much work"):
        without_additional(message(QUERY))


@pytest.mark.parametrize("message", WORST.values(), ids=WORST)
def test_what_is_not_too_much_can_be_read(message: Callable[[bytes], bytes]) -> None:
    needed, work = without_additional(message(QUERY))

    assert work > MAX_WORK / 2, "it is one of the worst"
    assert dns.message.from_wire(needed).answer


def test_what_comes_along_unasked_is_not_read() -> None:
    more = dns.message.from_wire(addresses(1))
    more.additional = more.answer
    bombs = more.to_wire()[:-4] + b"\xc0\x0c" * 2

    needed, work = without_additional(bombs)

    assert needed == addresses(1)
    assert work == without_additional(addresses(1))[1]


@pytest.mark.parametrize("message", [addresses(3), response(QUERY, code="NXDOMAIN", authority=[SOA])])
def test_a_message_cut_short_is_none(message: bytes) -> None:
    for length in range(len(message)):
        with pytest.raises(DNSException):
            without_additional(message[:length])


@given(st.binary(max_size=200))
def test_any_bytes_are_weighed_or_no_message(data: bytes) -> None:
    with suppress(DNSException, TooMuchWorkError):
        without_additional(struct.pack("!HHHHHH", 0x1234, 0x8180, 1, 3, 1, 1) + QUERY[12:] + data)


def test_noise_is_no_message() -> None:
    with pytest.raises((DNSException, TooMuchWorkError)):
        without_additional(
            QUERY[:2] + b"\x81\x80\0\1\xff\xff\0\0\0\0" + QUERY[12:] + random.Random(7).randbytes(60_000)
        )
