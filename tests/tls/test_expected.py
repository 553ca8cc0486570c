"""Whether a peer is the one that was meant."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.tls.authorities import Fleet
from tls.authority import make_key
from tls.expected import check_expected, verify_peer
from tls.identity import IdentityError

HOST = "spiffe://mesh.example/host/{node}"
WEB = "spiffe://mesh.example/host/web-1"


@pytest.fixture(scope="module")
def certificate() -> bytes:
    """Of the host web-1."""
    return Fleet.made().issue("web-1", make_key()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("expected", "node"),
    [(HOST, "web-1"), (HOST, None), (WEB, None), (WEB, "web-2"), ("spiffe://mesh.example/host/{node}-1", "web")],
)
def test_who_is_meant(certificate: bytes, expected: str, node: str | None) -> None:
    assert verify_peer(certificate, expected, node) == WEB


@pytest.mark.parametrize(
    ("expected", "node", "wanted"),
    [
        (HOST, "web-2", "spiffe://mesh.example/host/web-2"),
        (HOST, "WEB-1", "spiffe://mesh.example/host/WEB-1"),
        (HOST, "", "spiffe://mesh.example/host/"),
        (HOST, "../host/web-1", "spiffe://mesh.example/host/../host/web-1"),
        (HOST, ".*", r"spiffe://mesh.example/host/.*"),
        ("spiffe://mesh.example/{node}", None, r"spiffe://mesh.example/*"),
        ("spiffe://meshxexample/host/{node}", None, r"spiffe://meshxexample/host/*"),
        ("spiffe://mesh.example/host/web-11", None, "spiffe://mesh.example/host/web-11"),
    ],
)
def test_who_is_not(certificate: bytes, expected: str, node: str | None, wanted: str) -> None:
    with pytest.raises(IdentityError) as caught:
        verify_peer(certificate, expected, node)

    assert str(caught.value) == f"it is of {WEB}, not of {wanted}"


def test_who_has_no_certificate_or_no_identity() -> None:
    with pytest.raises(IdentityError, match="none is shown"):
        verify_peer(None, HOST, None)
    with pytest.raises(IdentityError, match="it cannot be read"):
        verify_peer(b"rubbish", HOST, None)
    with pytest.raises(IdentityError, match="authority's"):
        verify_peer(Fleet.made().intermediate.certificate.public_bytes(Encoding.DER), HOST, None)


@pytest.mark.parametrize("text", [HOST, WEB, "spiffe://prod.example/ns/default/sa/{node}"])
def test_what_may_be_expected(text: str) -> None:
    assert check_expected(text) == text


@pytest.mark.parametrize(
    "text", ["", "mesh.example", "spiffe://mesh.example", "spiffe://mesh.example/{name}", "spiffe://{node}"]
)
def test_what_could_be_nobody(text: str) -> None:
    with pytest.raises(IdentityError):
        check_expected(text)
