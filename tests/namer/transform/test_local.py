"""Which addresses are this host's."""

import socket

import pytest

from namer.transform.local import is_local


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("127.1.2.3", True),
        ("::ffff:7f00:1", True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
    ],
)
def test_addresses_of_this_host(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_the_address_that_this_host_calls_from_is_its_own() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 1))
        except OSError:
            pytest.skip("this host has no address besides loopback")
        own = probe.getsockname()[0]

    assert is_local(own)
