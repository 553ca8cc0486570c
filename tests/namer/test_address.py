import socket
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from namer.address import embedded_ipv4, read_address


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0X7F000001", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0x.0x.0", "0.0.0.0"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:7f00:1", "127.0.0.1"),
        ("::FFFF:127.0.0.1%lo", "127.0.0.1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("fd00::1", "fd00::1"),
    ],
)
def test_an_address_in_any_form(written: str, address: str) -> None:
    assert str(read_address(written)) == address


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "localhost", "web", "a.1", "1.2.3.4.5", "256.0.0.1", "1.2.3.256", "4294967296"),
        *("08", "0x1g", "1..2", "-1", "1 ", "\u0661", "1" * 5000),
    ],
)
def test_a_name_is_no_address(name: str) -> None:
    assert read_address(name) is None


PARTS = st.one_of(
    st.sampled_from(["0", "00", "0x0", "08", "", "a", "255", "256", "0377", "0400", "0xff"]),
    st.integers(0, 2**33).flatmap(lambda n: st.sampled_from([str(n), f"0{n:o}", f"0x{n:x}", f"0X{n:X}"])),
)


@given(st.lists(PARTS, min_size=1, max_size=5).map(".".join))
@example("1.2.65536")
def test_whatever_the_c_library_takes_is_read_as_it_does(text: str) -> None:
    try:
        expected = socket.inet_ntoa(socket.inet_aton(text))
    except OSError:
        return
    assert str(read_address(text)) == expected


@pytest.mark.parametrize(
    ("address", "embedded"),
    [
        pytest.param("::127.0.0.1", "127.0.0.1", id="compatible"),
        pytest.param("64:ff9b::7f00:1", "127.0.0.1", id="NAT64"),
        pytest.param("64:ff9b:1::169.254.169.254", "169.254.169.254", id="NAT64 of a site"),
        pytest.param("2002:7f00:1::1", "127.0.0.1", id="6to4"),
        pytest.param("::", None, id="unspecified"),
        pytest.param("::1", None, id="loopback"),
        pytest.param("2001:db8::7f00:1", None, id="any other"),
        pytest.param("127.0.0.1", None, id="IPv4 is itself"),
    ],
)
def test_the_ipv4_address_in_an_ipv6_one(address: str, embedded: str | None) -> None:
    found = embedded_ipv4(ip_address(address))

    assert (None if found is None else str(found)) == embedded
