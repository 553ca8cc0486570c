import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namer.dns.hostsfile import is_localhost, parse_hosts

FILE = """\
# written by hand
127.0.0.1   localhost
10.0.0.1    Web web.example.org.   # the first one
10.0.0.2\tweb
fe80::1%eth0 web6
nonsense    web
10.0.0.3
"""


def test_names_have_addresses() -> None:
    assert parse_hosts(FILE) == {
        "localhost": ("127.0.0.1",),
        "web": ("10.0.0.1", "10.0.0.2"),
        "web.example.org": ("10.0.0.1",),
        "web6": ("fe80::1%eth0",),
    }


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("10.0.{}.{} web", id="one name many times"),
        pytest.param("0.0.0.0 {}.{}.ads.example", id="a block list"),
    ],
)
def test_a_hundred_thousand_lines_are_read_in_no_time(line: str) -> None:
    text = "\n".join(line.format(number >> 8 & 255, number & 255) for number in range(100_000))
    started = time.process_time()
    parse_hosts(text)
    assert time.process_time() - started < 2  # 0.2 s when nobody else is there


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    parse_hosts(text)


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("localhost", True),
        ("LocalHost.", True),
        ("web.localhost", True),
        ("notlocalhost", False),
        ("localhost.org", False),
    ],
)
def test_localhost_is_known(host: str, is_one: bool) -> None:
    assert is_localhost(host) is is_one
