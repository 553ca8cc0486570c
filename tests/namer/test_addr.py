import pytest

from namer.addr import Endpoint


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        (Endpoint("127.0.0.1", 80), "127.0.0.1:80"),
        (Endpoint("::1", 80, weight=0.5), "[::1]:80"),
        (Endpoint("fe80::1%eth0", 8080), "[fe80::1%eth0]:8080"),
    ],
)
def test_an_endpoint_is_shown_as_an_authority(endpoint: Endpoint, shown: str) -> None:
    assert endpoint.show() == str(endpoint) == shown
