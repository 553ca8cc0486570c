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
