"""What is asked of an authority."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from tests.tls.authorities import DOMAIN
from tls.authority import make_key
from tls.identity import SpiffeId
from tls.request import MAX_REQUEST, Permit, RequestError, check_request, dns_name, make_request

WEB = SpiffeId.host(DOMAIN, "web-1")
PERMIT = Permit(WEB, ("web-1.example", "www.example"))


def csr(key: object, *extensions: x509.ExtensionType) -> bytes:
    """A request for whatever."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    for each in extensions:
        builder = builder.add_extension(each, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def names(*of: x509.GeneralName) -> x509.SubjectAlternativeName:
    """What a request asks to be called."""
    return x509.SubjectAlternativeName(of)


def test_a_request_without_names_gets_all_that_it_may_have() -> None:
    key = make_key()
    granted = check_request(make_request(key), PERMIT)

    assert (granted.identity, granted.key, granted.dns) == (WEB, key.public_key(), PERMIT.dns)


def test_a_request_gets_the_names_that_it_asks_for_of_those_that_it_may_have() -> None:
    granted = check_request(make_request(make_key(), WEB, ("www.example",)), PERMIT)

    assert granted.dns == ("www.example",)
    assert check_request(make_request(make_key(), WEB), PERMIT).dns == ()


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "RSA 2048"],
)
def test_keys_that_are_taken(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    assert check_request(csr(key), PERMIT).identity == WEB


def test_ed25519_is_taken() -> None:
    assert check_request(csr(ed25519.Ed25519PrivateKey.generate()), PERMIT).identity == WEB


URI = x509.UniformResourceIdentifier(str(WEB))
EMPTY = b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"

REFUSED = {
    "a short key": (csr(rsa.generate_private_key(65537, 1024)), "the key is RSA of 1024 bits"),
    "a small exponent": (csr(rsa.generate_private_key(3, 2048)), "small exponent"),
    "another curve": (csr(ec.generate_private_key(ec.SECP256K1())), "the key is secp256k1"),
    "somebody else": (make_request(make_key(), SpiffeId.host(DOMAIN, "db")), "is for spiffe://mesh.example/host/db"),
    "elsewhere": (make_request(make_key(), SpiffeId.host("other", "web-1")), "is for spiffe://other"),
    "a name": (
        make_request(make_key(), WEB, ("evil.example",)),
        "the DNS name 'evil.example'; allowed here: web-1.example, www.example",
    ),
    "another URI": (csr(make_key(), names(x509.UniformResourceIdentifier("https://a"))), "for no identity"),
    "two URIs": (csr(make_key(), names(URI, URI)), "besides one URI"),
    "mail": (csr(make_key(), names(x509.RFC822Name("a@b.example"))), "besides one URI"),
    "CA": (csr(make_key(), x509.BasicConstraints(ca=True, path_length=None)), "for an authority"),
    "nothing": (b"", "no certificate signing request"),
    "garbage": (EMPTY, "no certificate signing request"),
    "too long": (b"a" * (MAX_REQUEST + 1), f"at most {MAX_REQUEST} bytes"),
}


@pytest.mark.parametrize(("request_", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(request_: bytes, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        check_request(request_, PERMIT)


def test_other_wishes_than_names_are_not_heeded() -> None:
    """As cert-manager has them in its requests; what a certificate is for, the authority says."""
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
    check_request(csr(make_key(), x509.BasicConstraints(ca=False, path_length=None), purposes), PERMIT)


REQUEST = make_request(make_key(), WEB)
DER = base64.b64decode(b"".join(REQUEST.splitlines()[1:-1]))


@given(st.integers(0, len(DER) * 8 - 1))
def test_not_a_bit_of_a_request_can_be_changed(bit: int) -> None:
    bent = bytearray(DER)
    bent[bit // 8] ^= 1 << bit % 8
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n%b-----END CERTIFICATE REQUEST-----\n" % base64.encodebytes(bent)

    with pytest.raises(RequestError):
        check_request(pem, PERMIT)


@pytest.mark.parametrize(
    ("text", "name"), [("Web-1.Example", "web-1.example"), ("localhost", "localhost"), ("a.example.", "a.example")]
)
def test_dns_names(text: str, name: str) -> None:
    assert dns_name(text, DOMAIN) == name


@pytest.mark.parametrize("text", ["", "*.example", "a_b", "10.0.0.7", "::1", "a..b", "bücher.example", "a" * 64, "a\n"])
def test_what_is_no_dns_name_for_a_certificate(text: str) -> None:
    with pytest.raises(RequestError, match="is no"):
        dns_name(text, DOMAIN)


def test_nobody_gets_the_name_of_the_authority() -> None:
    with pytest.raises(RequestError, match="authority's own server"):
        dns_name("CA.mesh.example", DOMAIN)
