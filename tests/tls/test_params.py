"""What is asked of TLS."""

from __future__ import annotations

import pytest

from tls.params import ClientTls, ContextParams, host_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("example.org", "example.org", id="a name"),
        pytest.param("example.org.", "example.org", id="its final dot is not part of it"),
        pytest.param("web_1", "web_1", id="an underscore, as in service names"),
        pytest.param("10.0.0.7", "10.0.0.7", id="IPv4"),
        pytest.param("::1", "::1", id="IPv6"),
        pytest.param("2001:DB8::0:1", "2001:db8::1", id="IPv6 in its usual form"),
    ],
)
def test_a_name(text: str, name: str) -> None:
    assert host_name(text) == name


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", ".a", "a b", "a\0", "a\n", "a/b", "*.a", "a:80", "bücher", "\udcff", "a" * 64, "a." * 130]
)
def test_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="is no host name"):
        host_name(text)


def test_verifying_needs_a_name() -> None:
    with pytest.raises(ValueError, match="without the name"):
        ClientTls(None)

    assert ClientTls(None, ContextParams(verify=False)).server_name is None


@pytest.mark.parametrize("protocols", [("TLSv1.1",), (), ("TLSv1.2", "SSLv3")])
def test_only_what_is_safe_is_spoken(protocols: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected some of TLSv1\.2, TLSv1\.3"):
        ContextParams(protocols=protocols)
