import pytest

from namer.hostport import hostport_pfx, porthost_pfx
from namer.path import Path


@pytest.mark.parametrize(
    ("path", "host_port", "port_host"),
    [
        pytest.param("/ia/127.1:8080/etc", "/ia/127.1/8080/etc", "/ia/8080/127.1/etc", id="an address"),
        pytest.param("/ia/example.org:8180", "/ia/example.org/8180", "/ia/8180/example.org", id="a host"),
        pytest.param("/ia/example.org:http", "/ia/example.org/http", "/ia/http/example.org", id="a port by name"),
        pytest.param(r"/ia/\x5b::1\x5d:80", "/ia/::1/80", "/ia/80/::1", id="IPv6 in brackets"),
        pytest.param("/ia/example.org", None, None, id="no port"),
        pytest.param("/ia/example.org:", None, None, id="an empty port"),
        pytest.param("/ia/:80", None, None, id="an empty host"),
        pytest.param("/ia/example.org:8180:abcdef", None, None, id="two colons"),
        pytest.param("/ia/::1", None, None, id="IPv6 without brackets"),
        pytest.param(r"/ia/\x5b::1\x5d", None, None, id="IPv6 without a port"),
        pytest.param("/ia/example.org:HTTP", None, None, id="upper case"),
        pytest.param("/ia/example.org:" + "a" * 64, None, None, id="longer than a DNS label"),
        pytest.param("/example.org:80", None, None, id="no prefix label"),
        pytest.param("/", None, None, id="nothing"),
    ],
)
def test_a_host_with_a_port_becomes_two_labels(path: str, host_port: str | None, port_host: str | None) -> None:
    assert hostport_pfx(Path.parse(path)) == (Path.parse(host_port) if host_port else None)
    assert porthost_pfx(Path.parse(path)) == (Path.parse(port_host) if port_host else None)
